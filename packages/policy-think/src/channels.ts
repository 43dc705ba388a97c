import { lastRows, reduceGroups } from '@kvsift/policy';
import type { Backend, KvType, KvView, Selection, Tensor } from '@kvsift/tensor';

/** Keys of old entries with fewer channels, and their whole values; rows of a head lie together. */
export interface NarrowKeys {
  /** [kvHeads · entries, channels kept] in the cache's dtype. */
  readonly keys: Tensor;
  /** [kvHeads · entries, headDim] in the cache's dtype. */
  readonly values: Tensor;
  /** Channels that each KV head keeps, ascending; the same number everywhere. */
  readonly channels: Selection;
  /** Original positions, i32 [kvHeads, entries], where the cache keeps them. */
  readonly positions?: Tensor;
}

/**
 * What each key channel contributes to the logits (specification 27): mean of its squared queries, group mean, times mean of its squared keys.
 * @param queries rotated, f32 [rows, queryHeads · headDim]; the last `window` count
 * @param keys rotated, f32 [kvHeads, n, headDim]
 * @returns f32 [kvHeads, headDim]
 */
export function channelScores(backend: Backend, queries: Tensor, keys: Tensor, window: number): Tensor {
  const [kvHeads = 0, , headDim = 0] = keys.shape;
  const rows = lastRows(backend, queries, window);
  const paid = backend.evaluate(['square', rows], { axis: 0, op: 'mean' });
  const byHead = reduceGroups(backend, backend.reshape(paid, [(paid.shape[0] ?? 0) / headDim, headDim]), kvHeads);
  return backend.zip(byHead, backend.evaluate(['square', keys], { axis: 1, op: 'mean' }), 'mul');
}

/** Stores entries f32 [kvHeads, n, headDim] with the chosen channels of their keys only. */
export function keepChannels(
  backend: Backend,
  entries: { readonly keys: Tensor; readonly values: Tensor },
  channels: Selection,
  dtype: KvType,
): NarrowKeys {
  return {
    keys: stored(backend, gatherChannels(backend, entries.keys, channels), narrowType(dtype, channels.maxPerHead)),
    values: stored(backend, entries.values, dtype),
    channels,
  };
}

/** What keys of `width` channels are stored in, in a cache of that type: blocks need 32 channels. */
export function narrowType(dtype: KvType, width: number): KvType {
  return dtype === 'q8_0' && width % 32 !== 0 ? 'f16' : dtype;
}

/** The chosen channels of f32 [kvHeads, rows, headDim]: f32 [kvHeads, rows, channels kept]. */
export function gatherChannels(backend: Backend, x: Tensor, channels: Selection): Tensor {
  const [kvHeads = 0, rows = 0, headDim = 0] = x.shape;
  const kept = channels.maxPerHead;
  // A channel is an entry of a cache whose width is the number of rows.
  const from = viewOf(backend, backend.reshape(backend.transpose(x, [0, 2, 1]), [kvHeads * headDim, rows]), kvHeads, headDim);
  const [keys, values] = [backend.empty('f32', [kvHeads * kept, rows]), backend.empty('f32', [kvHeads * kept, rows])];
  const to = { ...viewOf(backend, keys, kvHeads, kept, 0), values };
  backend.kvGather(from, channels, to);
  return backend.transpose(backend.kvRead(to, 'keys'), [0, 2, 1]);
}

/** f32 [heads, entries, width] as rows of another dtype. */
function stored(backend: Backend, x: Tensor, dtype: KvType): Tensor {
  const [kvHeads = 0, entries = 0, width = 0] = x.shape;
  const rows = backend.empty(dtype, [kvHeads * entries, width]);
  backend.kvReplace(viewOf(backend, rows, kvHeads, entries), 'keys', x);
  return rows;
}

/** Stored rows of `kvHeads` heads, [kvHeads, entries, width], as `matmul` takes them: blocks in f32. */
export function readStored(backend: Backend, rows: Tensor, kvHeads: number): Tensor {
  const [count = 0, width = 0] = rows.shape;
  if (rows.dtype !== 'q8_0') return backend.reshape(rows, [kvHeads, count / kvHeads, width]);
  return backend.kvRead(viewOf(backend, rows, kvHeads, (rows.shape[0] ?? 0) / kvHeads), 'keys');
}

/** A uniform view over one matrix, which stands for keys and values alike. */
function viewOf(backend: Backend, rows: Tensor, kvHeads: number, entries: number, length = entries): KvView {
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
