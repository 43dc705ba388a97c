import type { AttentionShape, ColumnOptions, ColumnStatistic, KvView } from '@kvsift/tensor';
import { KvRows } from './kv.js';

/** Logits of one query row against the entries of its head; −∞ where it may not look. */
function rowLogits(
  q: Float32Array,
  at: number,
  keys: Float32Array,
  headDim: number,
  shape: AttentionShape,
  visible: number,
  oldest: number,
  positionOf: (slot: number) => number,
  out: Float64Array,
): void {
  for (let slot = 0; slot < out.length; slot++) {
    if (slot >= visible || (shape.window !== undefined && positionOf(slot) < oldest)) {
      out[slot] = Number.NEGATIVE_INFINITY;
      continue;
    }
    let dot = 0;
    for (let c = 0; c < headDim; c++) dot += (q[at + c] as number) * (keys[slot * headDim + c] as number);
    const scaled = dot * shape.scale;
    out[slot] = shape.softcap === undefined ? scaled : shape.softcap * Math.tanh(scaled / shape.softcap);
  }
}

/** Natural log-sum-exp; −∞ of nothing. */
function logSumExp(logits: Float64Array): number {
  let top = Number.NEGATIVE_INFINITY;
  for (const value of logits) top = Math.max(top, value);
  if (top === Number.NEGATIVE_INFINITY) return top;
  let sum = 0;
  for (const value of logits) sum += Math.exp(value - top);
  return top + Math.log(sum);
}

interface Rows {
  readonly view: KvView;
  readonly shape: AttentionShape;
  readonly q: Float32Array;
  /** Rows of `q` to use, and the first of them. */
  readonly first: number;
  readonly count: number;
  readonly positions: Int32Array | undefined;
  /** Entries that row `index` of a head with `length` entries may see. */
  readonly visible: (index: number, length: number) => number;
}

/** Calls `visit` with the logits of each query head and row. */
function eachRow(
  op: string,
  rows: Rows,
  visit: (head: number, row: number, logits: Float64Array, values: () => Float32Array) => void,
): void {
  const { view, shape, q, first, count, positions } = rows;
  const { headDim } = view;
  const cache = new KvRows(op, view);
  const group = shape.queryHeads / view.kvHeads;
  for (let kvHead = 0; kvHead < view.kvHeads; kvHead++) {
    const keys = cache.head('keys', kvHead);
    const length = keys.length / headDim;
    const logits = new Float64Array(length);
    let held: Float32Array | undefined;
    const values = () => {
      held ??= cache.head('values', kvHead);
      return held;
    };
    const positionOf = (slot: number) => cache.positions?.[cache.row(kvHead, slot)] ?? slot;
    for (let head = kvHead * group; head < (kvHead + 1) * group; head++) {
      for (let index = 0; index < count; index++) {
        const row = first + index;
        const oldest = (positions?.[row] ?? 0) - (shape.window ?? 0) + 1;
        rowLogits(
          q,
          (row * shape.queryHeads + head) * headDim,
          keys,
          headDim,
          shape,
          rows.visible(index, length),
          oldest,
          positionOf,
          logits,
        );
        visit(head, row, logits, values);
      }
    }
  }
}

export function attention(
  q: Float32Array,
  view: KvView,
  first: number,
  count: number,
  shape: AttentionShape,
  positions: Int32Array | undefined,
  out: Float32Array,
  lse: Float32Array | undefined,
): void {
  const { headDim } = view;
  const sums = new Float64Array(headDim);
  const visible = (index: number, length: number) => length - count + index + 1;
  eachRow('attention', { view, shape, q, first, count, positions, visible }, (head, row, logits, values) => {
    const total = logSumExp(logits);
    sums.fill(0);
    if (total !== Number.NEGATIVE_INFINITY) {
      const rowsOfValues = values();
      for (const [slot, logit] of logits.entries()) {
        const weight = Math.exp(logit - total);
        if (weight === 0) continue;
        for (let c = 0; c < headDim; c++) sums[c] = (sums[c] as number) + weight * (rowsOfValues[slot * headDim + c] as number);
      }
    }
    out.set(sums, (row * shape.queryHeads + head) * headDim);
    if (lse) lse[row * shape.queryHeads + head] = total;
  });
}

function scoredRows(
  q: Float32Array,
  view: KvView,
  count: number,
  options: ColumnOptions,
  positions: Int32Array | undefined,
): Rows {
  const behind = options.behind ?? 0;
  const visible = (index: number, length: number) => (options.mask === 'none' ? length : length - behind - count + index + 1);
  return { view, shape: options, q, first: 0, count, positions, visible };
}

/** Adds the causal column sums of all rows to `out` [queryHeads, stride]. */
export function addColumns(
  q: Float32Array,
  view: KvView,
  count: number,
  shape: AttentionShape,
  positions: Int32Array | undefined,
  out: Float32Array,
  stride: number,
): void {
  const n = view.maxLength;
  const sums = new Float32Array(shape.queryHeads * n);
  attentionColumns(q, view, count, 'sum', { ...shape, mask: 'causal' }, positions, undefined, sums);
  for (const [at, sum] of sums.entries()) {
    const to = Math.floor(at / n) * stride + (at % n);
    out[to] = (out[to] as number) + sum;
  }
}

export function attentionColumns(
  q: Float32Array,
  view: KvView,
  count: number,
  statistic: ColumnStatistic,
  options: ColumnOptions,
  positions: Int32Array | undefined,
  known: Float32Array | undefined,
  out: Float32Array,
): void {
  const n = view.maxLength;
  const columns = new Float64Array(out.length);
  eachRow('attentionColumns', scoredRows(q, view, count, options, positions), (head, row, logits) => {
    const total = known?.[row * options.queryHeads + head] ?? logSumExp(logits);
    if (total === Number.NEGATIVE_INFINITY) return;
    for (const [slot, logit] of logits.entries()) {
      const probability = Math.exp(logit - total);
      const at = head * n + slot;
      const before = columns[at] as number;
      columns[at] = statistic === 'sum' ? before + probability : Math.max(before, probability);
    }
  });
  out.set(columns);
}

export function attentionRows(
  q: Float32Array,
  view: KvView,
  count: number,
  options: ColumnOptions,
  positions: Int32Array | undefined,
  known: Float32Array | undefined,
  out: Float32Array,
): void {
  const n = view.maxLength;
  eachRow('attentionRows', scoredRows(q, view, count, options, positions), (head, row, logits) => {
    const total = known?.[row * options.queryHeads + head] ?? logSumExp(logits);
    for (const [slot, logit] of logits.entries()) {
      out[(head * count + row) * n + slot] = total === Number.NEGATIVE_INFINITY ? 0 : Math.exp(logit - total);
    }
  });
}
