import { type Backend, type ColumnOptions, type ColumnStatistic, KvsiftError, type Tensor } from '@kvsift/tensor';
import type { LayerView } from './contract.js';

/** How the scores of the query heads of a group become one score of their KV head. */
export type GroupReduction = 'mean' | 'max' | 'sum';

/** f32 [queryHeads, ...] → f32 [kvHeads, ...]: heads of a group are contiguous (specification 0.3). */
export function reduceGroups(backend: Backend, x: Tensor, kvHeads: number, how: GroupReduction = 'mean'): Tensor {
  const [heads = 0, ...rest] = x.shape;
  return backend.reduce(backend.reshape(x, [kvHeads, heads / kvHeads, ...rest]), 1, how);
}

/** An observed tensor. @throws KvsiftError `policy_violation` where the engine did not bring what the policy observes */
export function observed(
  view: LayerView,
  name: 'queries' | 'queriesBeforeRotation' | 'keysBeforeRotation' | 'hidden' | 'columnSums' | 'outputProjection',
): Tensor {
  const tensor = view[name];
  if (tensor === undefined) {
    throw new KvsiftError('policy_violation', `layer ${view.layer}: the policy observes ${name}, the layer view has none`, {
      name,
    });
  }
  return tensor;
}

/** The last `rows` of an observed row matrix, or all where there are fewer. */
export function lastRows(backend: Backend, x: Tensor, rows: number): Tensor {
  const [have = 0] = x.shape;
  return have <= rows ? x : backend.slice(x, 0, have - rows, have);
}

/** Options of the attention statistics for query rows that end `behind` entries before the end of the layer. */
export function columnOptions(view: LayerView, rows: number, options: { mask?: 'causal' | 'none'; behind?: number } = {}) {
  const { mask = 'causal', behind = 0 } = options;
  const next = view.nextPosition ?? view.seen;
  const positions = Int32Array.from({ length: rows }, (_, row) => next - behind - rows + row);
  return {
    ...view.attention,
    mask,
    ...(behind > 0 && { behind }),
    ...(view.attention.window !== undefined && { positions: view.backend.upload(positions, 'i32', [rows]) }),
  };
}

/** Log-sum-exp of the last `rows` observed queries under the causal mask, where the prefill knows it: what the attention statistics need not find again. */
export function knownLogSums({ backend, queryLogSums }: LayerView, rows: number): Pick<ColumnOptions, 'logSumExp'> {
  return queryLogSums === undefined ? {} : { logSumExp: lastRows(backend, queryLogSums, rows) };
}

/**
 * Attention that each entry got from the last `window` queries, summed (or the maximum) over them: f32 [queryHeads, length]
 * (specification 0.2: the softmax covers all visible entries, the window's own included).
 */
export function windowAttention(
  view: LayerView,
  window: number,
  statistic: ColumnStatistic = 'sum',
  mask: 'causal' | 'none' = 'causal',
): Tensor {
  // A small budget may leave fewer entries than rows are remembered.
  const most = Math.min(window, view.length);
  const rows = lastRows(view.backend, observed(view, 'queries'), most);
  return view.backend.attentionColumns(rows, view.cache, statistic, {
    ...columnOptions(view, rows.shape[0] ?? 0, { mask }),
    ...(mask === 'causal' && knownLogSums(view, most)),
  });
}

/** f32 of one value. */
export function filled(backend: Backend, shape: readonly number[], value: number): Tensor {
  const size = shape.reduce((product, length) => product * length, 1);
  return backend.upload(new Float32Array(size).fill(value), 'f32', shape);
}

/** A number for each entry, the same in every head: f32 [1, length], to be spread over [kvHeads, length]. */
export function entryRow(backend: Backend, length: number, numberOf: (entry: number) => number): Tensor {
  // A loop: `Float32Array.from` takes many times as long, and a layer may have 100,000 entries.
  const row = new Float32Array(length);
  for (let entry = 0; entry < length; entry++) row[entry] = numberOf(entry);
  return backend.upload(row, 'f32', [1, length]);
}

/** Scores of the entries before the last `count`, extended by zeros to the whole layer: the rest is protected and needs no score. */
export function beforeWindow(backend: Backend, scores: Tensor, count: number): Tensor {
  const [heads = 0] = scores.shape;
  return count === 0 ? scores : backend.concat([scores, filled(backend, [heads, count], 0)], 1);
}

/** Euclidean length of the last axis. */
export function norms(backend: Backend, x: Tensor): Tensor {
  return backend.map(backend.evaluate(['square', x], { axis: -1, op: 'sum' }), 'sqrt');
}

/** Place of each entry in its head's order, best first (0 is the best; ties: lower index first): f32 [kvHeads, n]. */
export function bestFirst(backend: Backend, scores: Tensor): Tensor {
  return backend.rank(backend.map(scores, 'neg'));
}

/** Scores with protected entries raised above all others, so that ranks and shares count them first. */
export function raiseProtected(
  view: LayerView,
  scores: Tensor,
  protect: { readonly first: number; readonly last: number },
): Tensor {
  const { first, last } = protect;
  if (first + last === 0) return scores;
  const [, length = 0] = scores.shape;
  const floor = entryRow(view.backend, length, (entry) => (entry < first || entry >= length - last ? 1e30 : -3e38));
  return view.backend.zip(scores, floor, 'max');
}
