export type { Counts, SuiteRun, VerifyOptions, VerifySuite } from './suite.js';
export { describe, Tally } from './tally.js';
export { suites, verify } from './verify.js';
