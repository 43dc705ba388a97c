import type { Backend, Tensor } from '@kvsift/tensor';
import type { LayerView } from './contract.js';
import { releasing } from './releasing.js';

/** Bytes that a pass takes at a time where the backend has no wish. */
const usualBytes = 2 ** 19;

/** Ranges of [0, length) of `unit` entries or a multiple of it, each about as long as a pass over the layer's keys best is. */
export function entryRanges({ backend, model }: LayerView, length: number, unit = 1): (readonly [start: number, end: number])[] {
  const { passBytes = usualBytes } = backend.info;
  const most = passBytes / (4 * model.kvHeads * model.headDim);
  const size = Math.max(1, Math.floor(most / unit)) * unit;
  return Array.from({ length: Math.ceil(length / size) }, (_, index) => [index * size, Math.min(length, (index + 1) * size)]);
}

/** Which entries, and how. */
export interface PassOptions {
  /** Entries from the first on. Default: all. */
  readonly length?: number;
  /** Entries that stay together. Default: 1. */
  readonly unit?: number;
  /** Of the entries in what a step makes. Default: 1. */
  readonly axis?: number;
}

/**
 * What `step` makes of ranges of entries, f32 with entries along an axis, joined along it: the layer's keys and values, which `step` reads
 * with `kvRead(cache, part, start, end)`, never exist as numbers all at once, and what the ops of a step touch stays near the cores.
 */
export function overEntries(
  view: LayerView,
  step: (backend: Backend, start: number, end: number) => Tensor,
  { length = view.length, unit = 1, axis = 1 }: PassOptions = {},
): Tensor {
  const { backend } = view;
  const parts = entryRanges(view, length, unit).map(([start, end]) => releasing(backend, (inner) => step(inner, start, end)));
  const [only] = parts;
  return parts.length === 1 && only !== undefined ? only : backend.concat(parts, axis);
}

/** The sum of what `step` makes of ranges of entries; the rest as in `overEntries`. @throws Error where there are none */
export function sumOverEntries(view: LayerView, step: (backend: Backend, start: number, end: number) => Tensor): Tensor {
  const { backend } = view;
  return entryRanges(view, view.length)
    .map(([start, end]) => releasing(backend, (inner) => step(inner, start, end)))
    .reduce((sum, part) => backend.zip(sum, part, 'add'));
}
