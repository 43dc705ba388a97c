export * from './attention.js';
export * from './conformance.js';
export * from './cost.js';
export * from './evict.js';
export * from './layer-inputs.js';
export * from './random-inputs.js';
