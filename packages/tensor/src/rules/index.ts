export * from './algebra.js';
export * from './cache.js';
export * from './formula.js';
export * from './model.js';
export * from './scores.js';
