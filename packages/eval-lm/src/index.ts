export { type ChunkOptions, chunkDocuments } from './chunks.js';
export { compareReadings, type LmComparison } from './comparison.js';
export {
  type CompressionSchedule,
  cacheLengths,
  keptAfterStep,
  LM_PRESETS,
  type LmStep,
  lmSteps,
} from './compression-schedule.js';
export { everyStep } from './every-step.js';
export { type ChunkReading, type ReadOptions, readChunk } from './read-chunk.js';
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
