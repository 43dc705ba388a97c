import {
  bestFirst,
  evictedWeights,
  filled,
  gatherColumns,
  gatherEntries,
  keptSlots,
  type LayerView,
  norms,
  reduceGroups,
  releasing,
  streamOf,
  windowAttention,
} from '@kvsift/policy';
import type { Backend, Formula, Selection, Tensor } from '@kvsift/tensor';

export type Method = 'cam' | 'd2o' | 'keepkv' | 'pivot' | 'weighted' | 'values';

/** What the weights of a method are computed from. */
export interface Merge {
  readonly method: Method;
  /** Least cosine that merges. */
  readonly threshold: number;
  /** Share of the evicted entries that merges at most, those most like a kept one. */
  readonly fraction: number;
  /** CaM: kept entries behind an evicted one that share its value. */
  readonly neighbours: number;
  /** CaM: what an evicted entry's attention is compared with. */
  readonly reference: 'next' | 'most';
  /** CaM: first entries that `most` looks at, besides the last `window`. */
  readonly sinks: number;
  /** CaM: whether chance decides, or only whether the entry got more than what it is compared with. */
  readonly draw: boolean;
  /** Queries whose attention weighs entries (CaM, KeepKV). */
  readonly window: number;
}

/** Evicted entries added up per kept entry. */
export interface Gathered {
  /** Σ weight · key and Σ weight · value: f32 [kvHeads, kept, headDim]. */
  readonly keys: Tensor;
  readonly values: Tensor;
  /** Σ weight and the number of merged entries: f32 [kvHeads, kept, 1]. */
  readonly weight: Tensor;
  readonly count: Tensor;
}

/** Entries that are matched with all kept ones at a time: memory is kvHeads · 128 · kept numbers, never n · kept. */
const rowsAtOnce = 128;
/** Purpose word of CaM's draws. */
const purpose = 30;

/** Adds every evicted entry to its target (CaM: targets), with the method's weight. */
export function gatherEvicted(
  view: LayerView,
  kept: { keys: Tensor; values: Tensor },
  selection: Selection,
  merge: Merge,
): Gathered {
  const { backend, length } = view;
  const [heads = 0, count = 0, headDim = 0] = kept.keys.shape;
  const gone = backend.top(evictedWeights(backend, selection, length), { keep: length - count });
  const evicted = { ...gatherEntries(view, gone), slots: keptSlots(backend, gone) };
  const attention = readsAttention(merge.method) ? entryAttention(view, merge.window) : undefined;
  const paid = attention && gatherColumns(view, attention, gone);
  const chances = merge.method === 'cam' ? chancesOf(view, present(attention), selection, gone, merge) : undefined;
  const limit = merge.method === 'cam' ? merge.threshold : leastSimilarity(backend, evicted.keys, kept.keys, merge);
  const keptAt = backend.reshape(keptSlots(backend, selection), [heads, 1, count]);
  const width = 2 * headDim + 2;
  let sums: Tensor | undefined;
  for (const [start, end] of chunks(length - count)) {
    const before = sums;
    sums = releasing(backend, (inner) => {
      const rows = end - start;
      const cut = (x: Tensor) => inner.slice(x, 1, start, end);
      const column = (x: Tensor) => inner.reshape(cut(x), [heads, rows, 1]);
      const keys = cut(evicted.keys);
      const values = cut(evicted.values);
      const pair =
        merge.method === 'cam'
          ? next(inner, inner.zip(keptAt, column(evicted.slots), 'sub'), merge.neighbours, {
              paid: column(present(paid)),
              ...present(chances),
              draws: column(present(chances).draws),
            })
          : nearest(inner, { keys, values, ...(paid && { paid: column(paid) }) }, kept, merge, limit);
      const weights = inner.transpose(pair.weights, [0, 2, 1]);
      const gates = inner.transpose(pair.gates, [0, 2, 1]);
      const one = filled(inner, [heads, rows, 1], 1);
      const weighted = inner.matmul(weights, inner.concat([keys, values, one], 2));
      const part = inner.concat([weighted, inner.matmul(gates, one)], 2);
      return before === undefined ? part : inner.zip(before, part, 'add');
    });
    before?.dispose();
  }
  const all = present(sums);
  const columns = (from: number, to: number) => backend.slice(all, 2, from, to);
  return {
    keys: columns(0, headDim),
    values: columns(headDim, 2 * headDim),
    weight: columns(2 * headDim, width - 1),
    count: columns(width - 1, width),
  };
}

/** Ranges of so many rows as are matched at a time. */
function chunks(rows: number): (readonly [start: number, end: number])[] {
  return Array.from({ length: Math.ceil(rows / rowsAtOnce) }, (_, index) => [
    index * rowsAtOnce,
    Math.min(rows, (index + 1) * rowsAtOnce),
  ]);
}

/** Cosine of each row with the kept entry that it resembles most, and all of them: [heads, rows, 1] and [heads, rows, kept]. */
function similarities(backend: Backend, keys: Tensor, keptKeys: Tensor) {
  const [heads = 0, rows = 0] = keys.shape;
  const unit = (x: Tensor) => backend.zip(x, lengths(backend, x), 'div');
  const cosine = backend.matmul(unit(keys), unit(keptKeys), { transposeB: true });
  return { cosine, best: backend.reshape(backend.reduce(cosine, 2, 'max'), [heads, rows, 1]) };
}

/** Least cosine that merges: where it depends on all evicted entries of a head, they are looked at before any is merged. */
function leastSimilarity(backend: Backend, keys: Tensor, keptKeys: Tensor, merge: Merge): Tensor | number {
  const { method, threshold, fraction } = merge;
  if (method !== 'd2o' && fraction === 1) return threshold;
  const [heads = 0, evicted = 0] = keys.shape;
  const parts = chunks(evicted).map(([start, end]) =>
    releasing(backend, (inner) => {
      const { best } = similarities(inner, inner.slice(keys, 1, start, end), keptKeys);
      return inner.reshape(best, [heads, end - start]);
    }),
  );
  const best = backend.concat(parts, 1);
  const mean = method === 'd2o' ? backend.reduce(best, 1, 'mean') : filled(backend, [heads], threshold);
  const least = backend.reshape(mean, [heads, 1, 1]);
  if (fraction === 1) return least;
  const within = backend.zip(bestFirst(backend, best), Math.round(fraction * evicted), 'less');
  // 2, above every cosine, in place of what is not among them.
  const last = backend.evaluate(['max', best, ['add', ['mul', within, -4], 2]], { axis: 1, op: 'min' });
  return backend.zip(least, backend.reshape(last, [heads, 1, 1]), 'max');
}

/** Evicted entries. */
interface Rows {
  /** f32 [heads, rows, headDim] */
  readonly keys: Tensor;
  readonly values: Tensor;
  /** What queries paid them, [heads, rows, 1], for methods that ask. */
  readonly paid?: Tensor;
}

/** Weights and gates [kvHeads, rows, kept] on the kept entry of highest key cosine. */
function nearest(backend: Backend, rows: Rows, kept: { keys: Tensor; values: Tensor }, merge: Merge, limit: Tensor | number) {
  const [heads = 0, count = 0] = kept.keys.shape;
  const { cosine, best } = similarities(backend, rows.keys, kept.keys);
  const candidates = backend.evaluate(not(['less', cosine, best]));
  // The first of equal ones.
  const first: Formula = ['mul', ['less', backend.cumsum(candidates), 1.5], candidates];
  const gates = backend.evaluate(['mul', first, not(['less', best, limit])]);
  return { gates, weights: backend.zip(gates, strength(), 'mul') };

  function strength(): Tensor {
    switch (merge.method) {
      case 'weighted':
        return backend.evaluate(['max', ['div', ['add', best, 1], 2], 1e-6]);
      case 'values': {
        const own = lengths(backend, rows.values);
        const target = backend.reshape(lengths(backend, kept.values), [heads, 1, count]);
        return backend.evaluate(['mul', ['max', best, 0], ['div', own, ['add', ['add', target, own], 1e-6]]]);
      }
      case 'd2o':
        return best;
      case 'keepkv':
        return present(rows.paid);
      default:
        return filled(backend, [heads, 1, 1], 1);
    }
  }
}

/** What decides whether CaM merges an entry. */
interface Chances {
  /** What an entry's attention is compared with, by its shares of kept entries [heads, rows, kept]: [heads, rows or 1, 1]. */
  rival(backend: Backend, share: Tensor): Tensor;
  /** Uniform numbers, one for each evicted entry. */
  readonly draws: Tensor;
  readonly draw: boolean;
}

/** Of a layer's evicted entries. */
function chancesOf(view: LayerView, attention: Tensor, kept: Selection, gone: Selection, merge: Merge): Chances {
  const { backend, length } = view;
  const [heads = 0] = attention.shape;
  const all = backend.uniform(streamOf(view, purpose), heads, length);
  const columns = gatherColumns(view, attention, kept);
  const own = backend.reshape(columns, [heads, columns.shape[1] ?? 0, 1]);
  const most = mostAttended(backend, attention, merge);
  return {
    rival: (inner, share) => (merge.reference === 'most' ? most : inner.matmul(share, own)),
    draws: gatherColumns(view, all, gone),
    draw: merge.draw,
  };
}

/**
 * CaM: an even share for each of the next kept entries, drawn with probability attention / their mean attention, or that of the most attended.
 * @param distance kept slot − own slot, f32 [kvHeads, rows, kept]
 */
function next(backend: Backend, distance: Tensor, neighbours: number, { rival, draws, draw, paid }: Chances & { paid: Tensor }) {
  const [heads = 0, rows = 0] = distance.shape;
  const later = backend.evaluate(['less', ['mul', distance, 0], distance]);
  const near = backend.evaluate(['mul', ['less', backend.cumsum(later), neighbours + 0.5], later]);
  const targets = backend.reshape(backend.zip(backend.reduce(near, 2, 'sum'), 1, 'max'), [heads, rows, 1]);
  const share = backend.zip(near, targets, 'div');
  const other = rival(backend, share);
  const drawn = backend.evaluate(draw ? ['less', draws, ['div', paid, ['max', other, 1e-30]]] : ['less', other, paid]);
  return { gates: backend.zip(near, drawn, 'mul'), weights: backend.zip(share, drawn, 'mul') };
}

/** The largest attention among the first and the last entries: [heads, 1, 1]. */
function mostAttended(backend: Backend, paid: Tensor, { sinks, window }: Merge): Tensor {
  const [heads = 0, length = 0] = paid.shape;
  const ends = [backend.slice(paid, 1, 0, Math.min(sinks, length)), backend.slice(paid, 1, Math.max(0, length - window), length)];
  return backend.reshape(backend.reduce(backend.concat(ends, 1), 1, 'max'), [heads, 1, 1]);
}

/** Methods that weigh entries by attention. */
export function readsAttention(method: Method): boolean {
  return method === 'cam' || method === 'keepkv';
}

/** Methods that change keys, not values only. */
export function mergesKeys(method: Method): boolean {
  return method === 'weighted' || method === 'pivot' || method === 'd2o';
}

/** Attention of the last queries per entry, group mean: f32 [kvHeads, n]. */
export function entryAttention(view: LayerView, window: number): Tensor {
  return reduceGroups(view.backend, windowAttention(view, window), view.model.kvHeads);
}

function lengths(backend: Backend, x: Tensor): Tensor {
  const [heads = 0, rows = 0] = x.shape;
  return backend.reshape(backend.zip(norms(backend, x), 1e-6, 'max'), [heads, rows, 1]);
}

/** 1 − x. */
function not(x: Formula): Formula {
  return ['mul', ['sub', x, 1], -1];
}

function present<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('this method reads attention, of a layer that loses something');
  return value;
}
