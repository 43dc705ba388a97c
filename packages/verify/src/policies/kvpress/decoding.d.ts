import type { SuiteRun } from '../../suite.js';
/** Eviction while decoding: what each layer holds after each compaction, how much after every step, and the logits of every step. */
export declare function decodingCases(run: SuiteRun, file: string): Promise<void>;
