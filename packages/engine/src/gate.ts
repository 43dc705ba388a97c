import { KvsiftError } from '@kvsift/tensor';

/** Lets one piece of work at a time in, and none once it is closed; what it guards is released when the last one is out. */
export class Gate {
  readonly #ending = new AbortController();
  #busy = false;

  /**
   * @param name of what it guards, for errors: `this session`
   * @param release called once
   */
  constructor(
    private readonly name: string,
    private readonly release: () => void,
  ) {}

  /** Aborted by `close`: work that takes long listens. */
  get signal(): AbortSignal {
    return this.#ending.signal;
  }

  /** @throws KvsiftError `disposed`, or `invalid_argument` while work is going on */
  check(): void {
    this.demandOpen();
    if (this.#busy) throw new KvsiftError('invalid_argument', `${this.name} is busy: wait for the call in progress`);
  }

  /** @throws KvsiftError as `check`, and `disposed` where the gate was closed meanwhile */
  async run<T>(work: () => Promise<T>): Promise<T> {
    this.check();
    this.#busy = true;
    try {
      const result = await work();
      this.demandOpen();
      return result;
    } catch (error) {
      if (this.signal.reason !== error) this.demandOpen();
      throw error;
    } finally {
      this.#busy = false;
      if (this.signal.aborted) this.release();
    }
  }

  /** Ends work that listens. @param failure that left nothing to go on with, if any */
  close(failure?: unknown): void {
    if (this.signal.aborted) return;
    this.#ending.abort(failure);
    if (!this.#busy) this.release();
  }

  /** @throws KvsiftError `disposed` */
  demandOpen(): void {
    const { aborted, reason } = this.signal;
    if (!aborted) return;
    const failed = reason instanceof Error && reason.name !== 'AbortError';
    const message = failed ? `${this.name} ended when a step failed: ${reason.message}` : `${this.name} was disposed`;
    throw new KvsiftError('disposed', message, {}, { cause: reason });
  }
}
