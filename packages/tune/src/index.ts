export { type HalvingOptions, halve, type Measured } from './halving.js';
export { parsePrompts, type TunePrompt } from './prompts.js';
export { type Candidate, type Trial, type TuneOptions, type Tuning, tune } from './tune.js';
