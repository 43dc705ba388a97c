import {
  filled,
  gatherColumns,
  keptSlots,
  type LayerView,
  norms,
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
  /** CaM: kept entries behind an evicted one that share its value. */
  readonly neighbours: number;
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
      const gone = inner.reshape(inner.evaluate(not(keptHere(inner, distance))), [heads, rows, 1]);
      const chunk = { start, end, distance, gone, keys: cut(keys), values: cut(values) };
      const pair =
        merge.method === 'cam'
          ? cam(view, inner, chunk, attention, keptAttention, merge)
          : nearest(inner, chunk, kept, merge, attention);
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

/** 1 where a row of the chunk is itself kept. @param distance kept slot − own slot, f32 [kvHeads, rows, kept] */
function keptHere(backend: Backend, distance: Tensor): Tensor {
  return backend.evaluate(['less', ['abs', distance], 0.5], { axis: 2, op: 'max' });
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
  attention: Tensor | undefined,
) {
  const [heads = 0, count = 0] = kept.keys.shape;
  const [, rows = 0] = chunk.keys.shape;
  const unit = (x: Tensor) => backend.zip(x, lengths(backend, x), 'div');
  const cosine = backend.matmul(unit(chunk.keys), unit(kept.keys), { transposeB: true });
  const best = backend.reshape(backend.reduce(cosine, 2, 'max'), [heads, rows, 1]);
  const candidates = backend.evaluate(not(['less', cosine, best]));
  // The first of equal ones.
  const first: Formula = ['mul', ['less', backend.cumsum(candidates), 1.5], candidates];
  const limit = merge.method === 'd2o' ? meanOfEvicted(backend, best, chunk.gone) : merge.threshold;
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

/** Mean of a number per row over the evicted rows: [heads, 1, 1]. Kept rows resemble themselves fully and do not count. */
function meanOfEvicted(backend: Backend, x: Tensor, gone: Tensor): Tensor {
  const sum = backend.evaluate(['mul', x, gone], { axis: 1, op: 'sum' });
  const count = backend.reduce(gone, 1, 'sum');
  return backend.reshape(backend.evaluate(['div', sum, ['max', count, 1]]), [x.shape[0] ?? 0, 1, 1]);
}

/** CaM: an even share for each of the next kept entries, drawn with probability attention / their mean attention. */
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
  const mean = backend.matmul(share, backend.reshape(present(keptPaid), [heads, count, 1]));
  const all = backend.uniform({ seed, sequence, layer, purpose }, heads, view.length);
  const draws = backend.reshape(backend.slice(all, 1, chunk.start, chunk.end), [heads, rows, 1]);
  const drawn = backend.evaluate(['less', draws, ['div', own, ['max', mean, 1e-30]]]);
  return { gates: backend.zip(near, drawn, 'mul'), weights: backend.zip(share, drawn, 'mul') };
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
