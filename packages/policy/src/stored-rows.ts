import type { Backend, KvType, KvView, Tensor } from '@kvsift/tensor';

/** f32 [heads, entries, width] as rows [heads · entries, width] of the type that a cache stores: what a run holds beside the cache costs what entries cost. */
export function storeRows(backend: Backend, x: Tensor, dtype: KvType): Tensor {
  const [kvHeads = 0, entries = 0, width = 0] = x.shape;
  const rows = backend.empty(dtype, [kvHeads * entries, width]);
  backend.kvReplace(viewOfRows(backend, rows, kvHeads, entries), 'keys', x);
  return rows;
}

/** Stored rows of `kvHeads` heads, [kvHeads, entries, width], as `matmul` takes them: blocks in f32. */
export function readStored(backend: Backend, rows: Tensor, kvHeads: number): Tensor {
  const [count = 0, width = 0] = rows.shape;
  if (rows.dtype !== 'q8_0') return backend.reshape(rows, [kvHeads, count / kvHeads, width]);
  return backend.kvRead(viewOfRows(backend, rows, kvHeads, count / kvHeads), 'keys');
}

/**
 * A uniform view over one matrix [kvHeads · entries, width], which stands for keys and values alike.
 * @param length entries that each head holds already, where the view is to be filled
 */
export function viewOfRows(backend: Backend, rows: Tensor, kvHeads: number, entries: number, length = entries): KvView {
  return {
    dtype: rows.dtype as KvType,
    kvHeads,
    headDim: rows.shape[1] ?? 0,
    keys: rows,
    values: rows,
    lengths: backend.upload(new Int32Array(kvHeads).fill(length), 'i32', [kvHeads]),
    starts: backend.upload(
      Int32Array.from({ length: kvHeads }, (_, head) => head * entries),
      'i32',
      [kvHeads],
    ),
    maxLength: entries,
    uniform: true,
  };
}
