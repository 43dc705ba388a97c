import { type LanguageModel } from '@kvsift/engine';
import type { SuiteRun } from '../suite.js';
/** Loads the model of the goldens, or says why its cases are skipped. The caller disposes it. */
export declare function openGoldenModel(run: SuiteRun, file: string): Promise<LanguageModel | undefined>;
