import type { ObservedRows } from '@kvsift/policy';
import type { Backend, Tensor } from '@kvsift/tensor';

/** Collects the rows of a layer's chunks that a policy asked to see. */
export class RowCollector implements Disposable {
  #parts: Tensor[] = [];

  constructor(
    private readonly backend: Backend,
    private readonly rows: ObservedRows | undefined,
    private readonly total: number,
  ) {}

  /** The first of `count` rows from `first` on that is wanted, counted from there; `count` where none is. */
  from(first: number, count: number): number {
    if (this.rows === undefined || this.rows === 'none') return count;
    return this.rows === 'all' ? 0 : Math.min(count, Math.max(0, this.total - this.rows.last - first));
  }

  /** Rows `first` … of the sequence. Copies what is wanted. */
  add(chunk: Tensor, first: number): void {
    const count = chunk.shape[0] ?? 0;
    const from = this.from(first, count);
    if (from === count) return;
    this.#parts.push(from === 0 ? this.backend.reshape(chunk, chunk.shape) : this.backend.slice(chunk, 0, from, count));
  }

  /** The collected rows as one tensor, which the caller owns; undefined where nothing was asked for. */
  take(): Tensor | undefined {
    const parts = this.#parts;
    this.#parts = [];
    if (parts.length <= 1) return parts[0];
    const whole = this.backend.concat(parts, 0);
    for (const part of parts) part.dispose();
    return whole;
  }

  [Symbol.dispose](): void {
    for (const part of this.#parts) part.dispose();
    this.#parts = [];
  }
}
