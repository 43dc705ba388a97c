import type { Backend, Tensor } from '@kvsift/tensor';
import type { LayerView } from './contract.js';
import { releasing } from './releasing.js';

/** Bytes that a pass takes at a time where the backend has no wish. */
const usualBytes = 2 ** 19;

/** Which entries, and how. */
export interface PassOptions {
  /** Entries from the first on. Default: all. */
  readonly length?: number;
  /** Entries that stay together. Default: 1. */
  readonly unit?: number;
  /** Most entries at a time, for steps that make much more of them than they read. Default: as many as the backend likes. */
  readonly most?: number;
}

/** Ranges of entries, each about as long as a pass over the layer's keys best is. */
export function entryRanges(
  { backend, length: all, model }: LayerView,
  { length = all, unit = 1, most = Number.POSITIVE_INFINITY }: PassOptions = {},
): (readonly [start: number, end: number])[] {
  const { passBytes = usualBytes } = backend.info;
  const wanted = Math.min(most, passBytes / (4 * model.kvHeads * model.headDim));
  const size = Math.max(1, Math.floor(wanted / unit)) * unit;
  return Array.from({ length: Math.ceil(length / size) }, (_, index) => [index * size, Math.min(length, (index + 1) * size)]);
}

/**
 * What `step` makes of ranges of entries, f32 with entries along an axis, joined along it: the layer's keys and values, which `step` reads
 * with `kvRead(cache, part, start, end)`, never exist as numbers all at once, and what the ops of a step touch stays near the cores.
 */
export function overEntries(
  view: LayerView,
  step: (backend: Backend, start: number, end: number) => Tensor,
  /** `axis`: of the entries in what a step makes. Default: 1. */
  { axis = 1, ...options }: PassOptions & { readonly axis?: number } = {},
): Tensor {
  const { backend } = view;
  const parts = entryRanges(view, options).map(([start, end]) => releasing(backend, (inner) => step(inner, start, end)));
  const [only] = parts;
  return parts.length === 1 && only !== undefined ? only : backend.concat(parts, axis);
}

/** The sum of what `step` makes of ranges of entries, of one shape, of which no more than one exists beside it. @throws Error where there are none */
export function sumOverEntries(
  view: LayerView,
  step: (backend: Backend, start: number, end: number) => Tensor,
  options: PassOptions = {},
): Tensor {
  let sum: Tensor | undefined;
  for (const [start, end] of entryRanges(view, options)) {
    const before = sum;
    sum = releasing(view.backend, (inner) => {
      const part = step(inner, start, end);
      return before === undefined ? part : inner.zip(before, part, 'add');
    });
    before?.dispose();
  }
  if (sum === undefined) throw new Error('no entries');
  return sum;
}
