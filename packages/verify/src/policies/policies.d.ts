import type { SuiteRun } from '../suite.js';
/** Every file of a folder of policy goldens. A file that nothing here knows is a failure. */
export declare function policies(run: SuiteRun): Promise<void>;
