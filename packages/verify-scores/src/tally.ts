import { isKvsiftError } from '@kvsift/tensor';

/** One case that disagrees, or could not be run. */
export interface CaseFailure {
  /** File and row, or file and part. */
  readonly case: string;
  readonly message: string;
}

/** How many cases there were of each kind. */
export interface Counts {
  readonly passed: number;
  readonly failed: number;
  /** Cases that need rows which the folder does not hold, such as means over complete files. */
  readonly skipped: number;
}

/** Thrown by a check to say why a case is wrong. */
export class Mismatch extends Error {}

/** Counts cases and reports the failed ones as they come. */
export class Tally {
  #passed = 0;
  #failed = 0;
  readonly #skipped = new Map<string, number>();

  constructor(private readonly report: (failure: CaseFailure) => void) {}

  get counts(): Counts {
    return {
      passed: this.#passed,
      failed: this.#failed,
      skipped: Array.from(this.#skipped.values()).reduce((sum, count) => sum + count, 0),
    };
  }

  /** Runs one case: it passes unless it throws. Errors other than a mismatch count as failures too, with their text. */
  run(name: string, check: () => void): void {
    try {
      check();
      this.#passed++;
    } catch (error) {
      this.fail(name, error instanceof Mismatch ? error.message : describe(error));
    }
  }

  fail(name: string, message: string): void {
    this.#failed++;
    this.report({ case: name, message });
  }

  /** Counts cases of a file that cannot be run, and keeps the reason. */
  skip(file: string, reason: string, count = 1): void {
    const key = `${file}: ${reason}`;
    this.#skipped.set(key, (this.#skipped.get(key) ?? 0) + count);
  }

  /** File, reason and number of what was skipped, a line each. */
  get skips(): string[] {
    return Array.from(this.#skipped, ([reason, count]) => `${reason} (${count})`);
  }
}

/** The sentence of an error of ours, the stack of any other. */
export function describe(error: unknown): string {
  if (isKvsiftError(error)) return error.message;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
