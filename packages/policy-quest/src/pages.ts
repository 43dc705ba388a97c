import { gatherView, type LayerView } from '@kvsift/policy';
import type { Backend, Tensor } from '@kvsift/tensor';

/** Smallest and largest key per channel of every page of a layer: f32 [kvHeads, pages, headDim] each. */
export interface PageBounds {
  readonly low: Tensor;
  readonly high: Tensor;
  /** Entries that the bounds cover; the last page may be partial. */
  readonly covered: number;
}

/** Bounds with the entries that came since: whole pages stay as they are, the rest is read anew. */
export function extendBounds(view: LayerView, pageSize: number, before: PageBounds | undefined): PageBounds {
  const { backend, cache, length } = view;
  const whole = before === undefined ? 0 : Math.floor(Math.min(before.covered, length) / pageSize);
  const keys = before === undefined ? backend.kvRead(cache, 'keys') : tail(view, whole * pageSize);
  const low = pageLimits(backend, keys, pageSize, 'min');
  const high = pageLimits(backend, keys, pageSize, 'max');
  if (before === undefined || whole === 0) return { low, high, covered: length };
  const joined = (old: Tensor, fresh: Tensor) => backend.concat([backend.slice(old, 1, 0, whole), fresh], 1);
  return { low: joined(before.low, low), high: joined(before.high, high), covered: length };
}

/** Keys of the entries from `start` on: f32 [kvHeads, rest, headDim]. */
function tail({ backend, cache, length, model }: LayerView, start: number): Tensor {
  const rest = length - start;
  const indices = Int32Array.from({ length: model.kvHeads * rest }, (_, index) => start + (index % rest));
  const offsets = Int32Array.from({ length: model.kvHeads + 1 }, (_, head) => head * rest);
  return backend.kvRead(gatherView(backend, cache, backend.selection(indices, offsets)), 'keys');
}

/** Limits of pages of keys [kvHeads, n, headDim]; the last page may be partial. */
function pageLimits(backend: Backend, keys: Tensor, pageSize: number, op: 'min' | 'max'): Tensor {
  const [heads = 0, length = 0, headDim = 0] = keys.shape;
  const whole = Math.floor(length / pageSize);
  const parts: Tensor[] = [];
  if (whole > 0) {
    const pages = backend.reshape(backend.slice(keys, 1, 0, whole * pageSize), [heads, whole, pageSize, headDim]);
    parts.push(backend.reduce(pages, 2, op));
  }
  if (whole * pageSize < length) {
    const rest = backend.reduce(backend.slice(keys, 1, whole * pageSize, length), 1, op);
    parts.push(backend.reshape(rest, [heads, 1, headDim]));
  }
  return backend.concat(parts, 1);
}

/** How the query heads of a group agree on the bound of a page; `none`: each has its own. */
export type PageReduction = 'max' | 'mean' | 'none';

/** Σ over channels of max(q · low, q · high), by default the highest of each group's query heads: f32 [kvHeads, pages], with `none` [queryHeads, pages]. */
export function upperBounds(backend: Backend, q: Tensor, { low, high }: PageBounds, group: PageReduction = 'max'): Tensor {
  const [kvHeads = 0, pages = 0, headDim = 0] = low.shape;
  const [, columns = 0] = q.shape;
  const queries = backend.reshape(q, [kvHeads, columns / headDim / kvHeads, 1, headDim]);
  const products = (limit: Tensor) => backend.zip(queries, backend.reshape(limit, [kvHeads, 1, pages, headDim]), 'mul');
  const bounds = backend.reduce(backend.zip(products(low), products(high), 'max'), 3, 'sum');
  return group === 'none' ? backend.reshape(bounds, [columns / headDim, pages]) : backend.reduce(bounds, 1, group);
}
