export { type DemoOptions, type DemoResult, type DemoRow, runDemo } from './demo/run-demo.js';
export { exitCodes } from './exit-codes.js';
