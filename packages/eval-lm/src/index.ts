export { type ChunkOptions, chunkDocuments } from './chunks.js';
export {
  type CompressionSchedule,
  cacheLengths,
  keptAfterStep,
  LM_PRESETS,
  type LmStep,
  lmSteps,
} from './compression-schedule.js';
export {
  type ChunkResult,
  type ChunkSummary,
  type Spread,
  spreadOf,
  summarizeChunk,
  summarizeChunks,
  UNDRAWN_POINTS,
} from './summary.js';
export { scoreToken, type TokenScore } from './token-score.js';
