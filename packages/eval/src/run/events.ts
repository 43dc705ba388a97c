import type { Result } from '../store/result.js';
import type { RunSeconds } from './clock.js';
import type { TaskFailure } from './plan.js';

/** What a run tells while it works. */
export type RunEvent =
  /** Everything has been counted; `done` results are stored already, of which `failed` are errors that are not tried again. */
  | {
      readonly type: 'planned';
      readonly total: number;
      readonly done: number;
      readonly failed: number;
      readonly failures: readonly TaskFailure[];
    }
  /** What the longest sample of a suite needs, weights included, and what there is where that is known; bytes. */
  | {
      readonly type: 'memory';
      readonly model: string;
      readonly suite: string;
      readonly tokens: number;
      readonly needed: number;
      readonly available?: number;
    }
  /** A torn last line of the results file was removed. */
  | { readonly type: 'repaired'; readonly bytes: number }
  /** A sample is being read: `share` of its context. */
  | { readonly type: 'reading'; readonly task: string; readonly label: string; readonly budget: string; readonly share: number }
  /** A sample is stored. */
  | {
      readonly type: 'result';
      readonly result: Result;
      readonly done: number;
      readonly total: number;
      /** Expected seconds until the end, from the speeds so far; absent until enough is measured. */
      readonly remainingSeconds?: number;
    };

/** How a run ended. */
export interface RunOutcome {
  /** Results stored by this call. */
  readonly added: number;
  readonly done: number;
  readonly total: number;
  /** Samples that ended in an error, of all that are stored. */
  readonly failed: number;
  readonly failures: readonly TaskFailure[];
  /** True where it was asked to stop before the end; starting it again continues. */
  readonly interrupted: boolean;
  /** Where the time of this call went; absent where nothing ran, or several samples at a time. */
  readonly seconds?: RunSeconds;
}
