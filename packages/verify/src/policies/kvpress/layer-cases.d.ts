import type { SuiteRun } from '../../suite.js';
/** Presses that read the prompt a second time: only a whole model can run them. */
export declare const needsModel: (press: string) => boolean;
/** Every press of one prompt on the stored inputs of one layer. */
export declare function layerCases(run: SuiteRun, file: string): Promise<void>;
