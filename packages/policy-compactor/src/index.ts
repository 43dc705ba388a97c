export { compactor, compactorScores, leverage, noncausal, standardised } from './compactor.js';
export { gaussianSketch, leverageScores } from './leverage.js';
export { chunkColumns, noncausalScores } from './noncausal.js';
