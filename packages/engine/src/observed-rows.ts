import type { ObservedRows } from '@kvsift/policy';
import type { Backend, Tensor } from '@kvsift/tensor';

/** Collects the rows of a layer's chunks that a policy asked to see, each where it belongs, so that a chunk need not outlive its turn. */
export class RowCollector implements Disposable {
  #whole: Tensor | undefined;
  #collected = 0;

  constructor(
    private readonly backend: Backend,
    private readonly rows: ObservedRows | undefined,
    private readonly total: number,
  ) {}

  /** The first of `count` rows from `first` on that is wanted, counted from there; `count` where none is. */
  from(first: number, count: number): number {
    if (this.rows === undefined || this.rows === 'none') return count;
    return Math.min(count, Math.max(0, this.#start - first));
  }

  /** Rows `first` … of the sequence. Copies what is wanted. */
  add(chunk: Tensor, first: number): void {
    const [count = 0, ...rest] = chunk.shape;
    const from = this.from(first, count);
    if (from === count) return;
    const wanted = this.total - this.#start;
    this.#collected += count - from;
    if (from === 0 && count === wanted) {
      this.#whole = this.backend.reshape(chunk, chunk.shape);
      return;
    }
    this.#whole ??= this.backend.empty(chunk.dtype, [wanted, ...rest]);
    using part = from === 0 ? undefined : this.backend.slice(chunk, 0, from, count);
    this.backend.writeRows(this.#whole, first + from - this.#start, part ?? chunk);
  }

  /** The rows as one tensor, which the caller owns; undefined where nothing was asked for or not all of it came. */
  take(): Tensor | undefined {
    if (this.#collected < this.total - this.#start) return undefined;
    const whole = this.#whole;
    this.#whole = undefined;
    return whole;
  }

  [Symbol.dispose](): void {
    this.#whole?.dispose();
    this.#whole = undefined;
  }

  /** The first row of the sequence that is wanted. */
  get #start(): number {
    return typeof this.rows === 'object' ? Math.max(0, this.total - this.rows.last) : 0;
  }
}
