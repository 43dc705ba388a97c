import { isKvsiftError } from '@kvsift/tensor';
import type { Counts } from './suite.js';

/** Counts cases and reports the failing and skipped ones as they come. */
export class Tally {
  #passed = 0;
  #failed = 0;
  #skipped = 0;

  constructor(
    private readonly onFailure: (line: string) => void,
    private readonly onSkip: (line: string) => void = () => {},
    private readonly onPass: (name: string) => void = () => {},
  ) {}

  get counts(): Counts {
    return { passed: this.#passed, failed: this.#failed, skipped: this.#skipped };
  }

  /** Counts one comparison: `finding` says what is wrong, undefined that nothing is. */
  check(name: string, finding: string | undefined): void {
    if (finding === undefined) {
      this.#passed++;
      this.onPass(name);
    } else this.fail(name, finding);
  }

  /** Runs one case: what it throws is a failure. */
  async run(name: string, find: () => string | undefined | Promise<string | undefined>): Promise<void> {
    try {
      this.check(name, await find());
    } catch (error) {
      this.fail(name, describe(error));
    }
  }

  /** What a case needs before it can run: what it throws is the case's failure. */
  async attempt(name: string, work: () => unknown): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.fail(name, describe(error));
    }
  }

  /** Counts a case as failed, and says why. */
  fail(name: string, reason: string): void {
    this.#failed++;
    this.onFailure(`${name}: ${reason}`);
  }

  /** Counts a case as left out, and says why. */
  skip(name: string, reason: string): void {
    this.#skipped++;
    this.onSkip(`${name}: ${reason}`);
  }
}

/** Code and sentence of an error of kvsift, the stack of any other. */
export function describe(error: unknown): string {
  if (isKvsiftError(error)) return `${error.code}: ${error.message}`;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
