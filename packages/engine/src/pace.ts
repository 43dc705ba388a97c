import { setImmediate } from 'node:timers/promises';
import type { Backend } from '@kvsift/tensor';

/** Milliseconds after which timers and signals get a turn. */
const turnMilliseconds = 50;

/** Keeps the stream a little ahead of the host and no more, so that an abort takes effect soon. */
export class Pace {
  readonly #pending: Promise<void>[] = [];
  #lastTurn = performance.now();

  constructor(
    private readonly backend: Backend,
    private readonly ahead = 2,
  ) {}

  /** Call after each chunk of work; waits while more than `ahead` chunks are queued. */
  async chunk(): Promise<void> {
    // Whose failure it is that a fence reports it does not say: those that this work suffers from are found in what it made, see `demandSound`.
    const fence = this.backend.finish().then(
      () => {},
      () => {},
    );
    this.#pending.push(fence);
    while (this.#pending.length > this.ahead) await this.#pending.shift();
    // A backend that computes on this very thread would let nothing else happen: no Ctrl-C, no lease renewed.
    if (performance.now() - this.#lastTurn < turnMilliseconds) return;
    await setImmediate();
    this.#lastTurn = performance.now();
  }

  /** Waits for everything. */
  async drain(): Promise<void> {
    while (this.#pending.length > 0) await this.#pending.shift();
  }
}
