export { drawWeights, drawWithoutReplacement } from './draw.js';
export { nacl, proxyScores, ratioCounts } from './nacl.js';
