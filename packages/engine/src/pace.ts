import type { Backend } from '@kvsift/tensor';

/** Keeps the stream a little ahead of the host and no more, so that an abort takes effect soon. */
export class Pace {
  readonly #pending: Promise<void>[] = [];

  constructor(
    private readonly backend: Backend,
    private readonly ahead = 2,
  ) {}

  /** Call after each chunk of work; waits while more than `ahead` chunks are queued. */
  async chunk(): Promise<void> {
    const fence = this.backend.finish();
    // The error surfaces where it is awaited; without this a second failing fence would be an unhandled rejection.
    fence.catch(() => {});
    this.#pending.push(fence);
    while (this.#pending.length > this.ahead) await this.#pending.shift();
  }

  /** Waits for everything. */
  async drain(): Promise<void> {
    while (this.#pending.length > 0) await this.#pending.shift();
  }
}
