import { type Attended, attendHeld, readStored } from '@kvsift/policy';
import type { AttentionShape, Backend, Tensor } from '@kvsift/tensor';
import { gatherChannels, type NarrowKeys } from './channels.js';

/**
 * Attention of rotated query rows f32 [rows, queryHeads · headDim], all later than the entries, over keys with pruned channels: logits are sums over
 * the kept channels, times the whole scale (specification 27).
 */
export function attendNarrow(
  backend: Backend,
  q: Tensor,
  { keys, values, channels }: NarrowKeys,
  shape: Pick<AttentionShape, 'scale' | 'softcap'>,
): Attended {
  const kvHeads = (channels.offsets.shape[0] ?? 1) - 1;
  const held = {
    kvHeads,
    headDim: values.shape[1] ?? 0,
    products: (queries: Tensor) =>
      backend.matmul(gatherChannels(backend, queries, channels), readStored(backend, keys, kvHeads), { transposeB: true }),
    mix: (weights: Tensor) => backend.matmul(weights, readStored(backend, values, kvHeads)),
  };
  return attendHeld(backend, q, held, shape);
}
