export * from './budgets.js';
export { pyramidkv } from './pyramidkv.js';
