import type { LayerView } from '@kvsift/policy';
import type { Backend, Formula, Tensor } from '@kvsift/tensor';

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
  const keys = backend.kvRead(cache, 'keys', whole * pageSize, length);
  const low = pageLimits(backend, keys, pageSize, 'min');
  const high = pageLimits(backend, keys, pageSize, 'max');
  if (before === undefined || whole === 0) return { low, high, covered: length };
  const joined = (old: Tensor, fresh: Tensor) => backend.concat([backend.slice(old, 1, 0, whole), fresh], 1);
  return { low: joined(before.low, low), high: joined(before.high, high), covered: length };
}

/** Limits of pages of keys [kvHeads, n, headDim]; the last page may be partial. */
function pageLimits(backend: Backend, keys: Tensor, pageSize: number, op: 'min' | 'max'): Tensor {
  const [heads = 0, length = 0, headDim = 0] = keys.shape;
  const whole = Math.floor(length / pageSize) * pageSize;
  const limits = (start: number, end: number, size: number) => {
    const some = start === 0 && end === length ? keys : backend.slice(keys, 1, start, end);
    return backend.reduce(backend.reshape(some, [heads, (end - start) / size, size, headDim]), 2, op);
  };
  if (whole === length) return limits(0, length, pageSize);
  const rest = limits(whole, length, length - whole);
  return whole === 0 ? rest : backend.concat([limits(0, whole, pageSize), rest], 1);
}

/** How the query heads of a group agree on the bound of a page; `none`: each has its own. */
export type PageReduction = 'max' | 'mean' | 'none';

/** Σ over channels of max(q · low, q · high), by default the highest of each group's query heads: f32 [kvHeads, pages], with `none` [queryHeads, pages]. */
export function upperBounds(backend: Backend, q: Tensor, { low, high }: PageBounds, group: PageReduction = 'max'): Tensor {
  const [kvHeads = 0, pages = 0, headDim = 0] = low.shape;
  const [, columns = 0] = q.shape;
  const queries = backend.reshape(q, [kvHeads, columns / headDim / kvHeads, 1, headDim]);
  const products = (limit: Tensor): Formula => ['mul', queries, backend.reshape(limit, [kvHeads, 1, pages, headDim])];
  const bounds = backend.evaluate(['max', products(low), products(high)], { axis: 3, op: 'sum' });
  return group === 'none' ? backend.reshape(bounds, [columns / headDim, pages]) : backend.reduce(bounds, 1, group);
}
