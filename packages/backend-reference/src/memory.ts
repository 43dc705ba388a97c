import type { MemoryUse } from '@kvsift/tensor';

/** Counts bytes in use and their peak. */
export class MemoryCount {
  #bytes = 0;
  #peak = 0;
  #weights = 0;

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
}
