import type { Result } from '../store/result.js';
import type { ResultStore } from '../store/results.js';
import type { RunOutcome } from './events.js';
import type { TaskFailure } from './plan.js';

/** Counts results and estimates what is left from the time of those made so far. */
export class Progress {
  readonly #started = performance.now();
  #skipped = 0;
  #added = 0;

  constructor(readonly total: number) {}

  get done(): number {
    return this.#skipped + this.#added;
  }

  /** Counts results that were stored before. */
  skip(count: number): void {
    this.#skipped += count;
  }

  add(_result: Result): { readonly done: number; readonly total: number; readonly remainingSeconds: number } {
    this.#added += 1;
    const perResult = (performance.now() - this.#started) / 1000 / this.#added;
    return { done: this.done, total: this.total, remainingSeconds: perResult * (this.total - this.done) };
  }

  outcome(store: ResultStore, failures: readonly TaskFailure[], interrupted: boolean): RunOutcome {
    return { added: this.#added, done: this.done, total: this.total, failed: store.failed, failures, interrupted };
  }
}
