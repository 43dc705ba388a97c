export {
  type GenerationConfig,
  generationConfigSchema,
  type HfConfig,
  hfConfigSchema,
  ropeTypes,
} from './config/model-config.js';
export { type ModelConfig, readModelConfig } from './config/read.js';
export { parseJson, readJsonFile, readSmallFile } from './files/json.js';
export { type FileFacts, fileError, pathKind } from './files/regular-file.js';
export { openWeights } from './open.js';
export { type TensorToWrite, writeSafetensors } from './safetensors/write.js';
export type { MetadataValue, WeightContents, WeightFile } from './weight-file.js';
