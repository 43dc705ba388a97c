import type { KvCache } from '@kvsift/cache';
import {
  below,
  demandTensor,
  layersNamed,
  type Observation,
  type PolicyRun,
  type RunMemory,
  type RunState,
  refuseOthers,
  type SavedState,
  type Standing,
} from '@kvsift/policy';
import type { Backend, Tensor } from '@kvsift/tensor';

/** The latest rows of one kind in one layer, oldest first, at most `limit`. */
class RowBuffer {
  #rows: Tensor | undefined;

  push(backend: Backend, rows: Tensor, limit: number): void {
    const before = this.#rows;
    const alone = before === undefined || (rows.shape[0] ?? 0) >= limit;
    const joined = alone ? backend.reshape(rows, rows.shape) : backend.concat([before, rows], 0);
    before?.dispose();
    const count = joined.shape[0] ?? 0;
    if (count <= limit) {
      this.#rows = joined;
      return;
    }
    this.#rows = backend.slice(joined, 0, count - limit, count);
    joined.dispose();
  }

  /** Takes over rows that were saved. */
  restore(rows: Tensor): void {
    this.#rows?.dispose();
    this.#rows = rows;
  }

  /** The same rows under a handle of their own. */
  fork(backend: Backend): RowBuffer {
    const twin = new RowBuffer();
    if (this.#rows !== undefined) twin.#rows = backend.reshape(this.#rows, this.#rows.shape);
    return twin;
  }

  get rows(): Tensor | undefined {
    return this.#rows;
  }

  dispose(): void {
    this.#rows?.dispose();
    this.#rows = undefined;
  }
}

/** Rows that a decode rule may observe. */
export type ObservedKind = 'queries' | 'queriesBeforeRotation' | 'hidden';
const bufferedKinds: readonly ObservedKind[] = ['queries', 'queriesBeforeRotation', 'hidden'];

/** What a decode rule observes of one sequence: the latest rows per layer. */
export class DecodeWindow implements Disposable, RunMemory {
  readonly #buffers = new Map<string, RowBuffer>();

  constructor(private readonly observe: Observation) {}

  /** Takes the next rows of a layer in, as far as they are wanted. */
  push(backend: Backend, layer: number, rows: (kind: ObservedKind) => Tensor | undefined): void {
    for (const kind of bufferedKinds) {
      const wanted = this.observe[kind];
      if (wanted === undefined || wanted === 'none') continue;
      const next = rows(kind);
      if (next === undefined) continue;
      const key = `${kind}.${layer}`;
      const buffer = this.#buffers.get(key) ?? new RowBuffer();
      this.#buffers.set(key, buffer);
      buffer.push(backend, next, wanted === 'all' ? Number.POSITIVE_INFINITY : wanted.last);
    }
  }

  /** The buffered rows of a layer, owned by this window. */
  rows(layer: number): Partial<Record<ObservedKind, Tensor>> {
    const found: Partial<Record<ObservedKind, Tensor>> = {};
    for (const kind of bufferedKinds) {
      const rows = this.#buffers.get(`${kind}.${layer}`)?.rows;
      if (rows !== undefined) found[kind] = rows;
    }
    return found;
  }

  save(): RunState {
    const tensors: Record<string, Tensor> = {};
    for (const [key, { rows }] of this.#buffers) if (rows !== undefined) tensors[key] = rows;
    return { numbers: {}, tensors };
  }

  check(state: SavedState, standing: Standing): void {
    const { model, seen } = standing;
    const widths = {
      queries: model.queryHeads * model.headDim,
      queriesBeforeRotation: model.queryHeads * model.headDim,
      hidden: model.hidden,
    };
    const wanted = bufferedKinds.filter((kind) => (this.observe[kind] ?? 'none') !== 'none');
    refuseOthers(state, (name) => wanted.some((kind) => name.startsWith(`${kind}.`)));
    for (const kind of wanted) {
      const rows = this.observe[kind];
      const most = typeof rows === 'object' ? Math.min(rows.last, seen) : seen;
      for (const layer of layersNamed(below(kind, state.tensors), standing))
        demandTensor(state, `${kind}.${layer}`, { dtype: 'f32', shape: [[1, most], widths[kind]] });
    }
  }

  restore({ tensors }: RunState): void {
    for (const [key, rows] of Object.entries(tensors)) {
      const buffer = this.#buffers.get(key) ?? new RowBuffer();
      buffer.restore(rows);
      this.#buffers.set(key, buffer);
    }
  }

  /** What a forked sequence has observed so far. */
  fork(backend: Backend): DecodeWindow {
    const twin = new DecodeWindow(this.observe);
    for (const [key, buffer] of this.#buffers) twin.#buffers.set(key, buffer.fork(backend));
    return twin;
  }

  [Symbol.dispose](): void {
    for (const buffer of this.#buffers.values()) buffer.dispose();
    this.#buffers.clear();
  }
}

/** A decode rule and what it observes, while tokens are read at once. */
export interface Follower {
  readonly run: PolicyRun;
  readonly window: DecodeWindow;
}

/** One sequence in a decode step. */
export interface Sequence {
  readonly cache: KvCache;
  readonly run?: PolicyRun;
  readonly window?: DecodeWindow;
  readonly seed: number;
  readonly sequence: number;
  /** Length that picked the rope table at prefill; later tokens keep it. */
  readonly ropeLength: number;
}
