export { drawKey, KEY_GRIDS, type KeyGrid, type KeyTask, keyPrompt } from './key-lines.js';
export { LANDMARK_LENGTHS, LANDMARK_SEEDS, type LandmarkPrompt, landmarkPrompt, matchesLandmarkIds } from './landmark.js';
export { MersenneTwister } from './mersenne-twister.js';
export { type PasskeyOptions, passkeyRetrieval } from './suite.js';
