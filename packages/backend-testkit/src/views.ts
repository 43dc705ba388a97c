import type { Backend, KvType, KvView } from '@kvsift/tensor';
import { encode, integerTensor, numbers, shuffled } from './inputs.js';

export type Layout = 'dense' | 'flattened' | 'paged';
export const layouts: readonly Layout[] = ['dense', 'flattened', 'paged'];

export interface ViewPlan {
  readonly layout: Layout;
  readonly dtype: KvType;
  readonly headDim: number;
  /** Entries of each head. */
  readonly lengths: readonly number[];
  /** Free rows behind each head (paged: at least these). */
  readonly room?: number;
  readonly positions?: boolean;
  readonly seed?: number;
  /** Numbers in rows that hold no entry; NaN shows who reads them. */
  readonly sentinel?: number;
}

const pageSize = 3;

/** Row of each entry of each head: dense with equal steps, flattened back to back with gaps, paged with shuffled blocks. */
function rowsOf({ layout, lengths, room = 0 }: ViewPlan) {
  const capacity = lengths.map((length) => length + room);
  if (layout === 'paged') {
    const perHead = capacity.map((rows) => Math.ceil(rows / pageSize));
    const width = Math.max(1, ...perHead) + 1;
    const order = shuffled(5, perHead.reduce((sum, count) => sum + count, 0) + 2);
    let next = 0;
    const table = perHead.map((count) => Array.from({ length: width }, (_, index) => (index < count ? (order[next++] ?? 0) : 0)));
    return { rows: order.length * pageSize, starts: lengths.map(() => 0), table };
  }
  const widest = Math.max(...capacity);
  const steps = layout === 'dense' ? capacity.map(() => widest + 1) : capacity.map((rows, head) => rows + (head % 2) + 1);
  const starts = steps.map((_, head) => steps.slice(0, head).reduce((sum, step) => sum + step, 1));
  return { rows: steps.reduce((sum, step) => sum + step, 1), starts, table: undefined };
}

/** A filled view. Plans that differ in layout, room and sentinel only have the same entries. */
export function makeView(backend: Backend, plan: ViewPlan): KvView {
  const { dtype, headDim, lengths, seed = 1, sentinel = Number.NaN } = plan;
  const { rows, starts, table } = rowsOf(plan);
  const fill = (purpose: number) => {
    const out = new Float32Array(rows * headDim).fill(sentinel);
    for (const [head, length] of lengths.entries()) {
      const entries = numbers(seed * 100 + purpose * 10 + head, length * headDim);
      for (let slot = 0; slot < length; slot++) {
        out.set(entries.subarray(slot * headDim, (slot + 1) * headDim), rowOf(head, slot) * headDim);
      }
    }
    return backend.upload(encode(out, dtype), dtype, [rows, headDim]);
  };
  const rowOf = (head: number, slot: number) => {
    const block = table?.[head]?.[Math.floor(slot / pageSize)];
    return block === undefined ? (starts[head] ?? 0) + slot : block * pageSize + (slot % pageSize);
  };
  const positions = new Int32Array(rows).fill(-7);
  for (const [head, length] of lengths.entries()) {
    for (let slot = 0; slot < length; slot++) positions[rowOf(head, slot)] = positionAt(head, slot);
  }
  const [keys, values] = [fill(1), fill(2)];
  const maxLength = Math.max(...lengths);
  return {
    dtype,
    kvHeads: lengths.length,
    headDim,
    keys,
    values,
    lengths: integerTensor(backend, lengths),
    starts: integerTensor(backend, starts),
    ...(plan.positions && { positions: backend.upload(positions, 'i32', [rows]) }),
    ...(table && {
      blocks: {
        size: pageSize,
        table: backend.upload(Int32Array.from(table.flat()), 'i32', [lengths.length, table[0]?.length ?? 0]),
      },
    }),
    maxLength,
    uniform: lengths.every((length) => length === maxLength),
  };
}

/** Position of an entry: ascending, with holes as after an eviction. */
export function positionAt(head: number, slot: number): number {
  return 2 * slot + (slot > 4 ? 3 + head : 0);
}

/** Contents and lengths of a view, sentinels included. */
export function contents(view: KvView, name = '') {
  const { keys, values, lengths, positions } = view;
  return {
    [`${name}keys`]: keys,
    [`${name}values`]: values,
    [`${name}lengths`]: lengths,
    ...(positions && { [`${name}positions`]: positions }),
  };
}
