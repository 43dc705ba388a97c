import type { Backend } from '@kvsift/tensor';
import type { Tally } from './tally.js';

/** How many cases there were of each kind. */
export interface Counts {
  readonly passed: number;
  readonly failed: number;
  /** Cases whose model is in no folder, or that need a backend where none was given. */
  readonly skipped: number;
}

/** What is verified, and who is told. */
export interface VerifyOptions {
  /** Makes the backend that is verified; called at most once, disposed at the end. Absent: cases that compute are skipped. */
  readonly backend?: () => Promise<Backend>;
  /** Folders of models, before the `models` folder beside the `golden` folder. */
  readonly models?: readonly string[];
  /** One line per failing case. */
  readonly onFailure: (line: string) => void;
  /** Name of each case that passes. */
  readonly onPass?: (name: string) => void;
  /** One line per skipped case: why. */
  readonly onSkip?: (line: string) => void;
}

/** What a suite works with. */
export interface SuiteRun {
  readonly folder: string;
  /** The backend under test, or undefined where none was given. */
  backend(): Promise<Backend | undefined>;
  /** Path of a model that a golden names, or undefined where no models folder has it. */
  model(name: string): Promise<string | undefined>;
  readonly tally: Tally;
}

/** Runs every case of a folder that has the suite's format. */
export type VerifySuite = (run: SuiteRun) => Promise<void>;
