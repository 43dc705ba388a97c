import {
  bestFirst,
  entryRow,
  filled,
  gatherColumns,
  keptSlots,
  type LayerView,
  norms,
  overEntries,
  reduceGroups,
  releasing,
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
  const { backend, cache, length, model } = view;
  const keys = backend.kvRead(cache, 'keys');
  const values = backend.kvRead(cache, 'values');
  const [heads = 0, count = 0, headDim = 0] = kept.keys.shape;
  const slots = keptSlots(backend, selection);
  const attention = readsAttention(merge.method) ? entryAttention(view, merge.window) : undefined;
  const keptAttention = attention && gatherColumns(view, attention, selection);
  const limit = merge.method === 'cam' ? merge.threshold : leastSimilarity(view, keys, kept.keys, slots, merge);
  const width = 2 * headDim + 2;
  let sums: Tensor | undefined;
  for (let start = 0; start < length; start += rowsAtOnce) {
    const end = Math.min(length, start + rowsAtOnce);
    const before = sums;
    sums = releasing(backend, (inner) => {
      const rows = end - start;
      const cut = (x: Tensor) => inner.slice(x, 1, start, end);
      const own = inner.upload(
        Float32Array.from({ length: rows }, (_, row) => start + row),
        'f32',
        [1, rows, 1],
      );
      const distance = inner.zip(inner.reshape(slots, [heads, 1, count]), own, 'sub');
      const gone = goneFrom(inner, distance);
      const chunk = { start, end, distance, gone, keys: cut(keys), values: cut(values) };
      const pair =
        merge.method === 'cam'
          ? cam(view, inner, chunk, attention, keptAttention, merge)
          : nearest(inner, chunk, kept, merge, limit, attention);
      const weights = inner.transpose(inner.zip(pair.weights, gone, 'mul'), [0, 2, 1]);
      const gates = inner.transpose(inner.zip(pair.gates, gone, 'mul'), [0, 2, 1]);
      const one = filled(inner, [heads, rows, 1], 1);
      const weighted = inner.matmul(weights, inner.concat([chunk.keys, chunk.values, one], 2));
      const part = inner.concat([weighted, inner.matmul(gates, one)], 2);
      return before === undefined ? part : inner.zip(before, part, 'add');
    });
    before?.dispose();
  }
  if (sums === undefined) throw new Error(`layer ${view.layer} of ${model.layers} is empty`);
  const columns = (from: number, to: number) => backend.slice(sums, 2, from, to);
  return {
    keys: columns(0, headDim),
    values: columns(headDim, 2 * headDim),
    weight: columns(2 * headDim, width - 1),
    count: columns(width - 1, width),
  };
}

/** 1 where a row of the chunk is evicted, else 0: [heads, rows, 1]. @param distance kept slot − own slot, f32 [kvHeads, rows, kept] */
function goneFrom(backend: Backend, distance: Tensor): Tensor {
  const [heads = 0, rows = 0] = distance.shape;
  const kept = backend.evaluate(['less', ['abs', distance], 0.5], { axis: 2, op: 'max' });
  return backend.reshape(backend.evaluate(not(kept)), [heads, rows, 1]);
}

/** Cosine of each row with the kept entry that it resembles most, and all of them: [heads, rows, 1] and [heads, rows, kept]. */
function similarities(backend: Backend, keys: Tensor, keptKeys: Tensor) {
  const [heads = 0, rows = 0] = keys.shape;
  const unit = (x: Tensor) => backend.zip(x, lengths(backend, x), 'div');
  const cosine = backend.matmul(unit(keys), unit(keptKeys), { transposeB: true });
  return { cosine, best: backend.reshape(backend.reduce(cosine, 2, 'max'), [heads, rows, 1]) };
}

/** Least cosine that merges: where it depends on all evicted entries of a head, they are looked at before any is merged. */
function leastSimilarity(view: LayerView, keys: Tensor, keptKeys: Tensor, slots: Tensor, merge: Merge): Tensor | number {
  const { backend, length } = view;
  const { method, threshold, fraction } = merge;
  if (method !== 'd2o' && fraction === 1) return threshold;
  const [heads = 0, count = 0] = keptKeys.shape;
  // −2, below every cosine, for entries that are kept.
  const best = overEntries(
    view,
    (inner, start, end) => {
      const own = entryRow(inner, end - start, (entry) => start + entry);
      const distance = inner.zip(inner.reshape(slots, [heads, 1, count]), inner.reshape(own, [1, end - start, 1]), 'sub');
      const gone = goneFrom(inner, distance);
      const { best } = similarities(inner, inner.slice(keys, 1, start, end), keptKeys);
      const lowered = inner.evaluate(['min', best, ['sub', ['mul', gone, 4], 2]]);
      return inner.reshape(lowered, [heads, end - start]);
    },
    { most: rowsAtOnce },
  );
  const evicted = length - count;
  const limits: Tensor[] = [];
  if (method === 'd2o') limits.push(backend.evaluate(['div', ['add', backend.reduce(best, 1, 'sum'), 2 * count], evicted]));
  if (fraction < 1) {
    const within = backend.zip(bestFirst(backend, best), Math.round(fraction * evicted), 'less');
    // 2, above every cosine, in place of what is not among them.
    limits.push(backend.evaluate(['max', best, ['add', ['mul', within, -4], 2]], { axis: 1, op: 'min' }));
  }
  const [one, other] = limits.map((limit) => backend.reshape(limit, [heads, 1, 1]));
  const own = method === 'd2o' ? one : backend.zip(present(one), threshold, 'max');
  return other === undefined ? present(own) : backend.zip(present(own), other, 'max');
}

interface Chunk {
  readonly start: number;
  readonly end: number;
  readonly distance: Tensor;
  /** 1 where a row is evicted, else 0: [heads, rows, 1]. */
  readonly gone: Tensor;
  readonly keys: Tensor;
  readonly values: Tensor;
}

/** Weights and gates [kvHeads, rows, kept] on the kept entry of highest key cosine. */
function nearest(
  backend: Backend,
  chunk: Chunk,
  kept: { keys: Tensor; values: Tensor },
  merge: Merge,
  limit: Tensor | number,
  attention: Tensor | undefined,
) {
  const [heads = 0, count = 0] = kept.keys.shape;
  const [, rows = 0] = chunk.keys.shape;
  const { cosine, best } = similarities(backend, chunk.keys, kept.keys);
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
        const own = lengths(backend, chunk.values);
        const target = backend.reshape(lengths(backend, kept.values), [heads, 1, count]);
        return backend.evaluate(['mul', ['max', best, 0], ['div', own, ['add', ['add', target, own], 1e-6]]]);
      }
      case 'd2o':
        return best;
      case 'keepkv':
        return backend.reshape(backend.slice(present(attention), 1, chunk.start, chunk.end), [heads, rows, 1]);
      default:
        return filled(backend, [heads, 1, 1], 1);
    }
  }
}

/** CaM: an even share for each of the next kept entries, drawn with probability attention / their mean attention, or that of the most attended. */
function cam(
  view: LayerView,
  backend: Backend,
  chunk: Chunk,
  attention: Tensor | undefined,
  keptPaid: Tensor | undefined,
  merge: Merge,
) {
  const [heads = 0, rows = 0] = chunk.keys.shape;
  const [, , count = 0] = chunk.distance.shape;
  const { seed, sequence, layer } = view;
  const later = backend.evaluate(['less', ['mul', chunk.distance, 0], chunk.distance]);
  const near = backend.evaluate(['mul', ['less', backend.cumsum(later), merge.neighbours + 0.5], later]);
  const targets = backend.reshape(backend.zip(backend.reduce(near, 2, 'sum'), 1, 'max'), [heads, rows, 1]);
  const share = backend.zip(near, targets, 'div');
  const paid = present(attention);
  const own = backend.reshape(backend.slice(paid, 1, chunk.start, chunk.end), [heads, rows, 1]);
  const rival =
    merge.reference === 'most'
      ? mostAttended(backend, paid, merge)
      : backend.matmul(share, backend.reshape(present(keptPaid), [heads, count, 1]));
  const all = backend.uniform({ seed, sequence, layer, purpose }, heads, view.length);
  const draws = backend.reshape(backend.slice(all, 1, chunk.start, chunk.end), [heads, rows, 1]);
  const drawn = backend.evaluate(merge.draw ? ['less', draws, ['div', own, ['max', rival, 1e-30]]] : ['less', rival, own]);
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

function present(tensor: Tensor | undefined): Tensor {
  if (tensor === undefined) throw new Error('this method reads attention');
  return tensor;
}
