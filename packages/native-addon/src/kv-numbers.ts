import { type AttentionSegment, dtypes, type KvView, type Tensor } from '@kvsift/tensor';
import type { TensorId } from './addon-types.js';

const viewNumbers = 11;

/** dtype, kvHeads, headDim, keys, values, lengths, starts, positions or 0, table or 0, block size, maxLength. */
function put(view: KvView, id: (x: Tensor) => TensorId, out: Float64Array, at: number): void {
  out[at] = dtypes.indexOf(view.dtype);
  out[at + 1] = view.kvHeads;
  out[at + 2] = view.headDim;
  out[at + 3] = id(view.keys);
  out[at + 4] = id(view.values);
  out[at + 5] = id(view.lengths);
  out[at + 6] = id(view.starts);
  out[at + 7] = view.positions ? id(view.positions) : 0;
  out[at + 8] = view.blocks ? id(view.blocks.table) : 0;
  out[at + 9] = view.blocks?.size ?? 0;
  out[at + 10] = view.maxLength;
}

/** A view as the addon reads it. */
export function viewNumbersOf(view: KvView, id: (x: Tensor) => TensorId): Float64Array {
  const out = new Float64Array(viewNumbers);
  put(view, id, out, 0);
  return out;
}

/** Segments as the addon reads them: a view and its rows each. */
export function segmentNumbersOf(segments: readonly AttentionSegment[], id: (x: Tensor) => TensorId): Float64Array {
  const out = new Float64Array(segments.length * (viewNumbers + 1));
  for (const [index, { view, rows }] of segments.entries()) {
    const at = index * (viewNumbers + 1);
    put(view, id, out, at);
    out[at + viewNumbers] = rows;
  }
  return out;
}
