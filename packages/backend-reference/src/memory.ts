import type { MemoryUse } from '@kvsift/tensor';

/** Counts bytes in use and their peak. */
export class MemoryCount {
  #open = true;
  #bytes = 0;
  #peak = 0;
  #weights = 0;

  /** False once the backend was disposed: nothing counts any more. */
  get open(): boolean {
    return this.#open;
  }

  add(bytes: number, weight: boolean): void {
    this.#bytes += bytes;
    if (weight) this.#weights += bytes;
    this.#peak = Math.max(this.#peak, this.#bytes);
  }

  remove(bytes: number, weight: boolean): void {
    this.#bytes -= bytes;
    if (weight) this.#weights -= bytes;
  }

  resetPeak(): void {
    this.#peak = this.#bytes;
  }

  use(): MemoryUse {
    return { bytes: this.#bytes, peakBytes: this.#peak, weightBytes: this.#weights };
  }

  close(): void {
    this.#open = false;
  }
}
