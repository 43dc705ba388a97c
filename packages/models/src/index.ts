export * from './config.js';
export { configFromGguf, type GgufSource } from './gguf.js';
export { configFromHuggingFace } from './huggingface.js';
export { DecoderLayer, type Projection } from './layer.js';
export { DecoderModel, type LoadedRope, type LoadOptions, type ModelSource } from './model.js';
export { type RopeTable, ropeTable } from './rope.js';
export { findWeights, type LayerWeights, type ModelWeights, rotaryRows } from './weights.js';
