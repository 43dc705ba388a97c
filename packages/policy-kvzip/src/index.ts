export { evictLowest } from './eviction.js';
export { KvzipRun, kvzip } from './kvzip.js';
export { reconstructionScores } from './reconstruction.js';
