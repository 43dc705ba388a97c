import type { SuiteRun } from '../suite.js';
/** Greedy answers to a question about a compressed text, one session per press and ratio. */
export declare function generationCases(run: SuiteRun, file: string): Promise<void>;
