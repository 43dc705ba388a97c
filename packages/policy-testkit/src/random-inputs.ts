import { uniformAt } from '@kvsift/tensor';
import { type LayerInputs, ropeFrequencies } from './layer-inputs.js';

/** Shape of a random layer. */
export interface RandomShape {
  readonly queryHeads?: number;
  readonly kvHeads?: number;
  readonly headDim?: number;
  readonly length?: number;
  /** Standard deviation of queries and keys: larger makes attention peaky. */
  readonly scale?: number;
}

/** A layer of normally distributed numbers, the same for the same seed; queries and keys are rotated as a model would. */
export function randomInputs(seed: number, shape: RandomShape = {}): LayerInputs {
  const { queryHeads = 4, kvHeads = 2, headDim = 8, length = 64, scale = 1.5 } = shape;
  const hidden = queryHeads * headDim;
  const normal = (purpose: number, count: number, deviation: number): Float32Array => {
    const key = { seed, sequence: 0, layer: 0, purpose };
    return Float32Array.from({ length: count }, (_, index) => {
      const radius = Math.sqrt(-2 * Math.log(uniformAt(key, 0, 2 * index)));
      return deviation * radius * Math.cos(2 * Math.PI * uniformAt(key, 0, 2 * index + 1));
    });
  };
  const queriesBeforeRotation = normal(1, queryHeads * length * headDim, scale);
  const keysBeforeRotation = normal(2, kvHeads * length * headDim, scale);
  const inverseFrequencies = ropeFrequencies(headDim);
  return {
    queryHeads,
    kvHeads,
    headDim,
    length,
    queriesBeforeRotation,
    keysBeforeRotation,
    queries: rotate(queriesBeforeRotation, length, inverseFrequencies),
    keys: rotate(keysBeforeRotation, length, inverseFrequencies),
    values: normal(3, kvHeads * length * headDim, 1),
    hidden: normal(4, length * hidden, 1),
    outputProjection: normal(5, hidden * hidden, 0.2),
    inverseFrequencies,
  };
}

/** Rotates [heads, length, headDim] to positions 0 … length − 1; pairs are (c, c + headDim / 2). */
export function rotate(x: Float32Array, length: number, frequencies: Float32Array): Float32Array {
  const pairs = frequencies.length;
  const out = new Float32Array(x.length);
  for (let row = 0; row * 2 * pairs < x.length; row++) {
    for (let pair = 0; pair < pairs; pair++) {
      const angle = (row % length) * (frequencies[pair] ?? 0);
      const at = row * 2 * pairs + pair;
      const [a, b] = [x[at] ?? 0, x[at + pairs] ?? 0];
      out[at] = a * Math.cos(angle) - b * Math.sin(angle);
      out[at + pairs] = a * Math.sin(angle) + b * Math.cos(angle);
    }
  }
  return out;
}

/** The layer with its KV heads (and their query groups) in another order. */
export function permuteHeads(inputs: LayerInputs, order: readonly number[]): LayerInputs {
  const { length, headDim, queryHeads, kvHeads, hidden, outputProjection } = inputs;
  const group = queryHeads / kvHeads;
  const move = (x: Float32Array, heads: readonly number[]): Float32Array => {
    const size = length * headDim;
    const out = new Float32Array(x.length);
    heads.forEach((from, to) => {
      out.set(x.subarray(from * size, (from + 1) * size), to * size);
    });
    return out;
  };
  const queryOrder = order.flatMap((head) => Array.from({ length: group }, (_, member) => head * group + member));
  return {
    ...inputs,
    queries: move(inputs.queries, queryOrder),
    keys: move(inputs.keys, order),
    values: move(inputs.values, order),
    ...(inputs.queriesBeforeRotation && { queriesBeforeRotation: move(inputs.queriesBeforeRotation, queryOrder) }),
    ...(inputs.keysBeforeRotation && { keysBeforeRotation: move(inputs.keysBeforeRotation, order) }),
    ...(outputProjection && hidden && { outputProjection: moveColumns(outputProjection, queryOrder, headDim) }),
  };
}

/** Blocks of `width` columns in another order. */
function moveColumns(matrix: Float32Array, order: readonly number[], width: number): Float32Array {
  const columns = order.length * width;
  return matrix.map((_, index) => {
    const column = index % columns;
    const from = (order[Math.floor(column / width)] ?? 0) * width + (column % width);
    return matrix[index - column + from] ?? 0;
  });
}
