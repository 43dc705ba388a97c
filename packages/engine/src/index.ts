export { conversationText } from './conversation.js';
export { type EstimateInput, estimateMemory, type MemoryEstimate } from './estimate.js';
export { LanguageModel, type Prompt } from './language-model.js';
export { type LoadOptions, load, type ModelFiles, openModel } from './load.js';
export { chunkRows, type LayerDone, type PrefillOptions, prefill } from './prefill.js';
export type { SamplingOptions } from './sampling.js';
export {
  type Chunk,
  type FinishReason,
  type GenerateOptions,
  type PrefillInput,
  Session,
  type SessionOptions,
} from './session.js';
