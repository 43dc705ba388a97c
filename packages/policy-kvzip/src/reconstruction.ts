import { type LayerView, observed, reduceGroups, releasing, viewOfRows } from '@kvsift/policy';
import type { KvView, Tensor } from '@kvsift/tensor';

/** Query rows whose probabilities exist at one time (KVzip+). */
const rowsAtOnce = 16;

/** Part of the prompt that one pass repeats: slots start … end − 1, with the first `sinks` slots in its softmax. */
export interface Part {
  readonly start: number;
  readonly end: number;
  readonly sinks: number;
}

/**
 * Strongest attention that any query of the repetition pays each entry of its part (specification 25): softmax over sinks, part and the pass's own
 * entries, causal among these; maximum over queries and the heads of a group. `plus` weighs by ‖V Wₒ‖₂ / ‖X‖₂. f32 [kvHeads, end − start].
 */
export function reconstructionScores(view: LayerView, { start, end, sinks }: Part, plus: boolean): Tensor {
  const { backend, cache, length, attention, model } = view;
  const queries = observed(view, 'queries');
  const [rows = 0] = queries.shape;
  const parts = (x: Tensor): Tensor => {
    const own = backend.slice(x, 1, length - rows, length);
    const middle = backend.slice(x, 1, start, end);
    return backend.concat(sinks > 0 ? [backend.slice(x, 1, 0, sinks), middle, own] : [middle, own], 1);
  };
  const values = parts(backend.kvRead(cache, 'values'));
  const keys = parts(backend.kvRead(cache, 'keys'));
  const [kvHeads = 0, entries = 0, headDim = 0] = keys.shape;
  const flat = (x: Tensor) => backend.reshape(x, [kvHeads * entries, headDim]);
  const subset: KvView = { ...viewOfRows(backend, flat(keys), kvHeads, entries), values: flat(values) };
  const options = { queryHeads: attention.queryHeads, scale: attention.scale, mask: 'causal' as const };
  const columns = plus
    ? weightedColumns(view, queries, subset, values)
    : backend.attentionColumns(queries, subset, 'max', options);
  return reduceGroups(backend, backend.slice(columns, 1, sinks, sinks + end - start), model.kvHeads, 'max');
}

/** max over rows of probability / ‖X row‖, times ‖V Wₒ‖ of the entry: f32 [queryHeads, entries]. */
function weightedColumns(view: LayerView, queries: Tensor, subset: KvView, values: Tensor): Tensor {
  const { backend, attention } = view;
  const hidden = observed(view, 'hidden');
  const [rows = 0] = queries.shape;
  let most: Tensor | undefined;
  for (let from = 0; from < rows; from += rowsAtOnce) {
    const to = Math.min(rows, from + rowsAtOnce);
    const before = most;
    most = releasing(backend, (inner) => {
      const options = { queryHeads: attention.queryHeads, scale: attention.scale, mask: 'causal' as const, behind: rows - to };
      const paid = inner.attentionRows(inner.slice(queries, 0, from, to), subset, options);
      const squares = inner.reduce(inner.map(inner.slice(hidden, 0, from, to), 'square'), 1, 'sum');
      const sizes = inner.reshape(inner.map(squares, 'sqrt'), [1, to - from, 1]);
      const best = inner.reduce(inner.zip(paid, sizes, 'div'), 1, 'max');
      return before === undefined ? best : inner.zip(before, best, 'max');
    });
    before?.dispose();
  }
  if (most === undefined) throw new Error('a pass without tokens');
  return backend.zip(most, backend.projectedNorms(values, observed(view, 'outputProjection'), 'l2'), 'mul');
}

/** A uniform f32 view over keys and values [kvHeads, entries, headDim]. */
