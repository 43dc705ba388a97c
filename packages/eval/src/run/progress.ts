import type { Result } from '../store/result.js';
import type { ResultStore } from '../store/results.js';
import type { RunOutcome } from './events.js';
import type { SampleOutline, TaskFailure } from './plan.js';

/** What a sample asks for: characters to read, tokens to write at most. */
type Work = Pick<SampleOutline, 'characters' | 'maxNewTokens'>;

/** Before so many results, and for so many seconds, loading and the first pages of memory take more time than the work. */
const least = { results: 3, seconds: 30 };

/** No token is that long: a text with more characters for each token of the context is refused, not read. */
const mostCharactersPerToken = 16;

/** Counts results and estimates what is left: from the speeds of reading and writing so far, and the texts that are still to come. */
export class Progress {
  readonly #started = performance.now();
  #skipped = 0;
  #added = 0;
  /** Work of all samples that are not stored yet. */
  #characters = 0;
  #newTokens = 0;
  /** Work done by this run, and what it took. */
  readonly #done = { characters: 0, newTokens: 0, prefillSeconds: 0, decodeSeconds: 0 };

  constructor(
    readonly total: number,
    /** Tokens that the models can read. */
    private readonly contextLength: number,
  ) {}

  get done(): number {
    return this.#skipped + this.#added;
  }

  /** Takes in a sample that is to run in so many cells, `stored` of which are done already. */
  plan(sample: Work, cells: number, stored: number): void {
    this.#skipped += stored;
    this.#characters += (cells - stored) * this.#charactersOf(sample);
    this.#newTokens += (cells - stored) * sample.maxNewTokens;
  }

  add(
    { prefillSeconds, decodeSeconds }: Pick<Result, 'prefillSeconds' | 'decodeSeconds'>,
    sample: Work,
  ): { readonly done: number; readonly total: number; readonly remainingSeconds?: number } {
    this.#added += 1;
    const done = this.#done;
    if (prefillSeconds + decodeSeconds === 0) {
      // A sample that was refused tells no speed.
      this.#characters -= this.#charactersOf(sample);
      this.#newTokens -= sample.maxNewTokens;
    } else {
      done.characters += this.#charactersOf(sample);
      done.newTokens += sample.maxNewTokens;
      done.prefillSeconds += prefillSeconds;
      done.decodeSeconds += decodeSeconds;
    }
    const remainingSeconds = this.#remaining();
    return { done: this.done, total: this.total, ...(remainingSeconds !== undefined && { remainingSeconds }) };
  }

  outcome(store: ResultStore, failures: readonly TaskFailure[], interrupted: boolean): RunOutcome {
    return { added: this.#added, done: this.done, total: this.total, failed: store.failed, failures, interrupted };
  }

  #remaining(): number | undefined {
    const elapsed = (performance.now() - this.#started) / 1000;
    if (this.#added < least.results && elapsed < least.seconds) return undefined;
    const { characters, newTokens, prefillSeconds, decodeSeconds } = this.#done;
    const measured = prefillSeconds + decodeSeconds;
    // Samples that all failed tell no speed.
    if (measured === 0) return (elapsed / this.#added) * (this.total - this.done);
    const reading = (prefillSeconds / Math.max(1, characters)) * (this.#characters - characters);
    const writing = (decodeSeconds / Math.max(1, newTokens)) * (this.#newTokens - newTokens);
    // Loading, scoring and storing take time besides; several answers at a time, and contexts that are read once for several, save some.
    return (elapsed / measured) * (reading + writing);
  }

  #charactersOf({ characters }: Work): number {
    return characters > mostCharactersPerToken * this.contextLength ? 0 : characters;
  }
}
