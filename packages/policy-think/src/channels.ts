import { lastRows, reduceGroups, storeRows, viewOfRows } from '@kvsift/policy';
import type { Backend, KvType, Selection, Tensor } from '@kvsift/tensor';

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
    keys: storeRows(backend, gatherChannels(backend, entries.keys, channels), narrowType(dtype, channels.maxPerHead)),
    values: storeRows(backend, entries.values, dtype),
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
  const from = viewOfRows(backend, backend.reshape(backend.transpose(x, [0, 2, 1]), [kvHeads * headDim, rows]), kvHeads, headDim);
  const [keys, values] = [backend.empty('f32', [kvHeads * kept, rows]), backend.empty('f32', [kvHeads * kept, rows])];
  const to = { ...viewOfRows(backend, keys, kvHeads, kept, 0), values };
  backend.kvGather(from, channels, to);
  return backend.transpose(backend.kvRead(to, 'keys'), [0, 2, 1]);
}
