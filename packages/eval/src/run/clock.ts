import type { Result } from '../store/result.js';

/** Where the time of a run went. */
export interface RunSeconds {
  /** From the start of the first sample until the last line is on the disk. */
  readonly total: number;
  /** Of these, loading weights. */
  readonly loading: number;
  /** Of these, reading, evicting and decoding. What is left besides is the loop's: prompts, tokens, sessions, scores, lines, fsync, and samples that failed. */
  readonly model: number;
}

/** What a sample measured. */
type Measured = Pick<Result, 'prefillSeconds' | 'firstTokenSeconds' | 'decodeSeconds'>;

/** Adds up where the time of a run goes; tells something only where samples run one after the other. */
export class RunClock {
  #started: number | undefined;
  #ended = 0;
  #model = 0;

  /** A sample starts. */
  start(): void {
    this.#started ??= performance.now();
  }

  /** A sample has run. `read`: its context was read for it, not for a sample before it that asked about the same one. */
  add({ prefillSeconds, firstTokenSeconds = 0, decodeSeconds }: Measured, read: boolean): void {
    this.#model += (read ? prefillSeconds : 0) + firstTokenSeconds + decodeSeconds;
  }

  /** The last line is on the disk. */
  end(): void {
    this.#ended = performance.now();
  }

  /** Undefined where nothing ran. */
  seconds(loading: number): RunSeconds | undefined {
    if (this.#started === undefined) return undefined;
    return { total: (this.#ended - this.#started) / 1000, loading, model: this.#model };
  }
}
