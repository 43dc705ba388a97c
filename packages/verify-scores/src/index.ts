export type { CaseFailure, Counts } from './tally.js';
export { verifyScores } from './verify-scores.js';
