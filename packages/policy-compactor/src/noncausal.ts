import { filled, type LayerView, norms, observed, releasing } from '@kvsift/policy';
import type { Tensor } from '@kvsift/tensor';

/**
 * Attention that each key gets inside its chunk when no mask hides the future and logits are not scaled: f32 [queryHeads, rows]. The last chunk is
 * filled up with zero keys and zero queries that take part, as kvpress does it.
 */
export function chunkColumns(view: LayerView, chunk: number, from = 0, to = view.length): Tensor {
  const { backend, cache, model } = view;
  const { queryHeads, kvHeads, headDim } = model;
  const group = queryHeads / kvHeads;
  const flat = backend.reshape(observed(view, 'queries'), [view.length, queryHeads, headDim]);
  const queries = backend.transpose(flat, [1, 0, 2]);
  const keys = backend.kvRead(cache, 'keys');
  const parts: Tensor[] = [];
  for (let start = from; start < to; start += chunk) {
    const rows = Math.min(chunk, to - start);
    const sums = releasing(backend, (inner) => {
      const q = inner.reshape(inner.slice(queries, 1, start, start + rows), [kvHeads, group, rows, headDim]);
      const k = inner.reshape(inner.slice(keys, 1, start, start + rows), [kvHeads, 1, rows, headDim]);
      const missing = chunk - rows;
      const logits = inner.matmul(q, k, { transposeB: true });
      const wide = missing === 0 ? logits : inner.concat([logits, filled(inner, [kvHeads, group, rows, missing], 0)], 3);
      // Each query that fills up spreads evenly over the chunk.
      const columns = inner.zip(inner.reduce(inner.softmax(wide), 2, 'sum'), missing / chunk, 'add');
      return inner.reshape(inner.slice(columns, 2, 0, rows), [queryHeads, rows]);
    });
    parts.push(sums);
  }
  return backend.concat(parts, 1);
}

/** Column sums, group mean, times the value's norm, averaged over three neighbours: f32 [kvHeads, rows]. */
export function noncausalScores(view: LayerView, chunk: number, from = 0, to = view.length): Tensor {
  const { backend, cache, model } = view;
  const rows = to - from;
  const grouped = backend.reshape(chunkColumns(view, chunk, from, to), [model.kvHeads, model.queryHeads / model.kvHeads, rows]);
  const sizes = norms(backend, backend.slice(backend.kvRead(cache, 'values'), 1, from, to));
  return backend.pool(backend.zip(backend.reduce(grouped, 1, 'mean'), sizes, 'mul'), 3, 'average');
}
