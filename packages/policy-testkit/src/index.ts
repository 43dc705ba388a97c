export * from './evict.js';
export * from './layer-inputs.js';
