import type { LayerInputs } from './layer-inputs.js';

/**
 * Probabilities that one query head's row pays to the keys up to its own, computed key by key in float64: what scores by attention can be compared with.
 * @param row of the layer's tokens, counted from 0
 */
export function attentionRow(inputs: LayerInputs, head: number, row: number): Float64Array {
  const { queryHeads, kvHeads, headDim, length, queries, keys } = inputs;
  const own = Math.floor((head * kvHeads) / queryHeads);
  const logits = Float64Array.from({ length: row + 1 }, (_, key) => {
    let product = 0;
    for (let c = 0; c < headDim; c++)
      product += (queries[(head * length + row) * headDim + c] ?? 0) * (keys[(own * length + key) * headDim + c] ?? 0);
    return product / Math.sqrt(headDim);
  });
  const most = logits.reduce((largest, logit) => Math.max(largest, logit), Number.NEGATIVE_INFINITY);
  const weights = logits.map((logit) => Math.exp(logit - most));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}
