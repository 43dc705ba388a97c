import { setImmediate } from 'node:timers/promises';
import { KvsiftError } from '@kvsift/tensor';

/** Milliseconds of work after which signals and timers get a turn. */
const workMilliseconds = 20;

/** Gives signals and timers a turn in work that never waits for anything: without it Ctrl-C would wait for its end. */
export class Turns {
  #last = performance.now();

  constructor(private readonly stopping: () => boolean) {}

  /** Call after each piece of work. */
  async pass(): Promise<void> {
    if (performance.now() - this.#last < workMilliseconds) return;
    await setImmediate();
    this.#last = performance.now();
  }

  /** `pass` before any sample runs. @throws KvsiftError `aborted` where the run was asked to stop */
  async passOrStop(): Promise<void> {
    await this.pass();
    if (this.stopping())
      throw new KvsiftError('aborted', 'stopped before the first sample: what is stored stays; start it again to go on');
  }
}
