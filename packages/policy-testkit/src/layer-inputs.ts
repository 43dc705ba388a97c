import {
  type LayerBudget,
  type LayerView,
  type ModelShape,
  type Observation,
  type ObservedRows,
  viewOfRows,
} from '@kvsift/policy';
import { type Backend, KvsiftError, type KvView, type Tensor } from '@kvsift/tensor';

/** What one layer of one sequence holds, as plain numbers: head-major [heads, length, headDim]. */
export interface LayerInputs {
  readonly queryHeads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly length: number;
  readonly queries: Float32Array;
  readonly keys: Float32Array;
  readonly values: Float32Array;
  readonly queriesBeforeRotation?: Float32Array;
  readonly keysBeforeRotation?: Float32Array;
  /** Input of the attention block [length, hidden]. */
  readonly hidden?: Float32Array;
  /** [hidden, queryHeads · headDim] */
  readonly outputProjection?: Float32Array;
  readonly inverseFrequencies?: Float32Array;
}

/** The same layer with keys and values repeated to every query head: how references select per query head. */
export function repeatHeads(inputs: LayerInputs): LayerInputs {
  const size = inputs.length * inputs.headDim;
  const group = inputs.queryHeads / inputs.kvHeads;
  const repeat = (x: Float32Array): Float32Array => {
    const out = new Float32Array(inputs.queryHeads * size);
    for (let head = 0; head < inputs.queryHeads; head++) {
      const from = Math.floor(head / group) * size;
      out.set(x.subarray(from, from + size), head * size);
    }
    return out;
  };
  return { ...inputs, kvHeads: inputs.queryHeads, keys: repeat(inputs.keys), values: repeat(inputs.values) };
}

/** Model numbers of a layer that stands alone, in a model of `layers` layers. */
export function modelOf(inputs: LayerInputs, layers = 1): ModelShape {
  const { queryHeads, kvHeads, headDim } = inputs;
  const hidden = inputs.hidden === undefined ? queryHeads * headDim : inputs.hidden.length / inputs.length;
  return { layers, queryHeads, kvHeads, headDim, hidden, entryBytes: 8 * headDim };
}

/** Head-major numbers as row matrix [length, heads · headDim]. */
export function asRows(x: Float32Array, heads: number, length: number, headDim: number): Float32Array {
  const rows = new Float32Array(x.length);
  for (let head = 0; head < heads; head++)
    for (let at = 0; at < length; at++) {
      const from = (head * length + at) * headDim;
      rows.set(x.subarray(from, from + headDim), (at * heads + head) * headDim);
    }
  return rows;
}

/** A uniform f32 cache of one layer. */
export function cacheOf(
  backend: Backend,
  inputs: Pick<LayerInputs, 'kvHeads' | 'headDim' | 'length' | 'keys' | 'values'>,
): KvView {
  const { kvHeads, headDim, length } = inputs;
  const rows = (x: Float32Array) => backend.upload(x, 'f32', [kvHeads * length, headDim]);
  return { ...viewOfRows(backend, rows(inputs.keys), kvHeads, length), values: rows(inputs.values) };
}

/** Which layer of which sequence a view shows, and what it observes. */
export interface ViewOptions {
  readonly layer?: number;
  readonly layers?: number;
  readonly budget: LayerBudget;
  readonly observe: Observation;
  readonly seed?: number;
  readonly sequence?: number;
  /** Tokens seen; default: the length. */
  readonly seen?: number;
}

/** The layer as a policy sees it: only what `observe` asks for is there, as in the engine. */
export function layerView(backend: Backend, inputs: LayerInputs, options: ViewOptions): LayerView {
  const { queryHeads, kvHeads, headDim, length } = inputs;
  const { layer = 0, layers = 1, budget, observe, seed = 0, sequence = 0, seen = length } = options;
  const model = modelOf(inputs, layers);
  const cache = cacheOf(backend, inputs);
  const attention = { queryHeads, scale: 1 / Math.sqrt(headDim) };
  const rows = (name: 'queries' | 'queriesBeforeRotation' | 'hidden', wanted: ObservedRows | undefined): Tensor | undefined => {
    if (wanted === undefined || wanted === 'none') return undefined;
    const numbers = demand(inputs, name);
    const matrix = name === 'hidden' ? numbers : asRows(numbers, queryHeads, length, headDim);
    const columns = matrix.length / length;
    const count = wanted === 'all' ? length : Math.min(length, wanted.last);
    return backend.upload(matrix.slice((length - count) * columns), 'f32', [count, columns]);
  };
  const parts: Record<string, Tensor | undefined> = {
    queries: rows('queries', observe.queries),
    queriesBeforeRotation: rows('queriesBeforeRotation', observe.queriesBeforeRotation),
    hidden: rows('hidden', observe.hidden),
    keysBeforeRotation: observe.keysBeforeRotation
      ? backend.upload(asRows(demand(inputs, 'keysBeforeRotation'), kvHeads, length, headDim), 'f32', [length, kvHeads * headDim])
      : undefined,
    columnSums: observe.columnSums
      ? backend.attentionColumns(
          backend.upload(asRows(inputs.queries, queryHeads, length, headDim), 'f32', [length, queryHeads * headDim]),
          cache,
          'sum',
          { ...attention, mask: 'causal' },
        )
      : undefined,
    outputProjection: observe.outputProjection
      ? backend.upload(demand(inputs, 'outputProjection'), 'f32', [model.hidden, queryHeads * headDim])
      : undefined,
  };
  const frequencies = inputs.inverseFrequencies ?? ropeFrequencies(headDim);
  return {
    layer,
    model,
    length,
    seen,
    budget,
    backend,
    keep: (tensor) => tensor,
    cache,
    attention,
    rope: { inverseFrequencies: backend.upload(frequencies, 'f32', [frequencies.length]), scale: 1 },
    seed,
    sequence,
    ...Object.fromEntries(Object.entries(parts).filter(([, tensor]) => tensor !== undefined)),
  };
}

/** θ^(−2c / headDim), θ = 10000. */
export function ropeFrequencies(headDim: number): Float32Array {
  return Float32Array.from({ length: headDim / 2 }, (_, pair) => 10000 ** ((-2 * pair) / headDim));
}

function demand(inputs: LayerInputs, name: keyof LayerInputs): Float32Array {
  const numbers = inputs[name];
  if (numbers instanceof Float32Array) return numbers;
  throw new KvsiftError('invalid_argument', `the policy observes ${name}, which these inputs do not have`, { name });
}
