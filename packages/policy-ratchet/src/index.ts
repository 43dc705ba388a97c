export * from './features.js';
export { type LearnedFeatures, learnedMap, type PlaceWeights, placeWeights, readLearned } from './learned.js';
export { ratchet } from './ratchet.js';
export { mixed, type SafeRule, stateOf } from './state.js';
