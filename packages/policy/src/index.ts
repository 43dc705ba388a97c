export * from './budget.js';
export * from './contract.js';
export * from './definition.js';
export { formatPolicy, parsePolicy } from './expression.js';
export * from './parameters.js';
export * from './registry.js';
export * from './scored.js';
export * from './scores.js';
