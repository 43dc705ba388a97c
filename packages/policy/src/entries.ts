import type { Backend, KvView, Selection, Tensor } from '@kvsift/tensor';
import type { LayerView } from './contract.js';
import { releasing } from './releasing.js';
import { entryRow, filled } from './scores.js';
import { viewOfRows } from './stored-rows.js';

/** The surviving keys and values of a layer as f32 [kvHeads, kept, headDim]; selections that keep the same number in every head. */
export function gatherEntries(view: LayerView, selection: Selection): { readonly keys: Tensor; readonly values: Tensor } {
  const { backend, cache } = view;
  const target = gatherView(backend, cache, selection);
  return { keys: backend.kvRead(target, 'keys'), values: backend.kvRead(target, 'values') };
}

/** A view of its own with copies of the selected entries; selections that keep the same number in every head. */
export function gatherView(backend: Backend, cache: KvView, selection: Selection): KvView {
  const target = emptyView(backend, cache, selection);
  backend.kvGather(cache, selection, target);
  return target;
}

/** Columns f32 [kvHeads, n] of the survivors, f32 [kvHeads, kept]. */
export function gatherColumns(view: LayerView, columns: Tensor, selection: Selection): Tensor {
  const { backend } = view;
  const [kvHeads = 0, length = 0] = columns.shape;
  const perHead = selection.perHead ?? selection.maxPerHead;
  // One number per entry is a cache of headDim 1.
  const from = viewOfRows(backend, backend.reshape(columns, [kvHeads * length, 1]), kvHeads, length);
  const target = emptyView(backend, from, selection);
  backend.kvGather(from, selection, target);
  return backend.reshape(backend.kvRead(target, 'keys'), [kvHeads, perHead]);
}

function emptyView(backend: Backend, like: Pick<KvView, 'dtype' | 'kvHeads' | 'headDim'>, selection: Selection): KvView {
  const { dtype, kvHeads, headDim } = like;
  const perHead = selection.perHead ?? selection.maxPerHead;
  const rows = () => backend.empty(dtype, [kvHeads * perHead, headDim]);
  return { ...viewOfRows(backend, rows(), kvHeads, perHead, 0), values: rows() };
}

/** Original slots of the survivors, f32 [kvHeads, kept]; selections that keep the same number in every head. */
export function keptSlots(backend: Backend, selection: Selection): Tensor {
  const heads = (selection.offsets.shape[0] ?? 1) - 1;
  return backend.reshape(backend.toFloat(selection.indices), [heads, selection.perHead ?? selection.maxPerHead]);
}

/** 1 for every entry of a layer that is evicted and 0 for the survivors, f32 [kvHeads, n]; selections that keep the same number in every head. */
export function evictedWeights(backend: Backend, selection: Selection, length: number): Tensor {
  return releasing(backend, (inner) => {
    const slots = keptSlots(inner, selection);
    const [heads = 0, kept = 0] = slots.shape;
    const all = inner.zip(
      filled(inner, [heads, 1], 0),
      entryRow(inner, length, (entry) => entry),
      'add',
    );
    // An entry's place among all slots and, just before each of its own, the kept ones goes up by one from entry to entry, by two at a kept one.
    const places = inner.slice(inner.rank(inner.concat([inner.zip(slots, 0.5, 'sub'), all], 1)), 1, kept, kept + length);
    const before = inner.concat([filled(inner, [heads, 1], -1), inner.slice(places, 1, 0, length - 1)], 1);
    return inner.evaluate(['add', ['sub', before, places], 2]);
  });
}
