export * from './backend.js';
export { dequantizeBlocks } from './blocks/index.js';
export * from './dtype.js';
export * from './errors.js';
export * from './float16.js';
export * from './kv.js';
export * from './random.js';
export * from './shape.js';
export * from './tensor.js';
