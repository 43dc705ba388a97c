/** Runs pieces of work, at most `limit` at a time; after the first that fails no further one starts. */
export class Pool {
  readonly #running = new Set<Promise<void>>();
  readonly #failures: unknown[] = [];

  constructor(private readonly limit: number) {}

  /** Starts a piece of work once there is room for it. @throws what an earlier piece threw */
  async add(work: () => Promise<void>): Promise<void> {
    while (this.#running.size >= this.limit) await Promise.race(this.#running);
    this.#check();
    const running = work()
      .catch((error: unknown) => {
        this.#failures.push(error);
      })
      .finally(() => this.#running.delete(running));
    this.#running.add(running);
    // One at a time is plain sequence: the next piece is not even prepared before this one has ended.
    if (this.limit === 1) await running;
    this.#check();
  }

  /** Waits for what has been started. @throws what a piece threw */
  async drain(): Promise<void> {
    await this.settle();
    this.#check();
  }

  /** Waits for what has been started, whatever comes of it. */
  async settle(): Promise<void> {
    await Promise.all(this.#running);
  }

  #check(): void {
    if (this.#failures.length > 0) throw this.#failures[0];
  }
}
