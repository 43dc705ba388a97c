import type { Backend, StreamMark } from '@kvsift/tensor';

/** What one layer's eviction cost. */
export interface EvictionCost {
  readonly layer: number;
  /** On the stream, from the end of the work before it; where a policy waits for the host to know something, that wait is in it. */
  readonly seconds: number;
  /** Largest memory beyond what the layer held before: scores, selection, the compacted copy. */
  readonly extraBytes: number;
  /** Largest memory of the backend since the measurement before this one, which reset its peak. */
  readonly peakBytes: number;
}

/** Measures evictions by marks in the stream, which is never waited for: what is measured is what happens without measuring. */
export class EvictionCosts {
  readonly #pending: Promise<void>[] = [];

  constructor(private readonly backend: Backend) {}

  async measure(layer: number, work: () => Promise<void>, tell: (cost: EvictionCost) => void): Promise<void> {
    const start = this.backend.finish();
    // Failures surface in what was made; a layer that fails has no cost.
    start.catch(() => {});
    this.backend.resetPeak();
    await work();
    const told = Promise.all([start, this.backend.finish()]).then((marks) => tell(costBetween(layer, ...marks)));
    told.catch(() => {});
    this.#pending.push(told);
  }

  /** Waits until everything has been told. */
  async drain(): Promise<void> {
    await Promise.allSettled(this.#pending);
  }
}

function costBetween(layer: number, start: StreamMark, end: StreamMark): EvictionCost {
  return {
    layer,
    seconds: end.seconds - start.seconds,
    extraBytes: Math.max(0, end.memory.peakBytes - start.memory.bytes),
    peakBytes: Math.max(start.memory.peakBytes, end.memory.peakBytes),
  };
}
