import type { SuiteRun } from '../../suite.js';
/** KVzip presses: sessions that read the prompt twice. */
export declare function kvzipCases(run: SuiteRun, file: string): Promise<void>;
