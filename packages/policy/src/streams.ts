import type { Formula, RandomKey } from '@kvsift/tensor';
import type { LayerView } from './contract.js';

/** More than there are purpose words. */
const purposes = 256;

/**
 * Names the stream of random numbers that a policy draws from for the entries of a layer: another one once entries have gone, as with the numbers of the
 * prompt the same slots would lose at every step.
 * @param purpose 0 … 255, the policy's own
 */
export function streamOf({ seed, sequence, layer, length, seen }: LayerView, purpose: number): RandomKey {
  return { seed, sequence, layer, purpose: purpose + (seen - length) * purposes };
}

/** Noise [kvHeads, length] that, added to the logarithm of weights, makes the largest sums a weighted sample without replacement. */
export function gumbelNoise(view: LayerView, purpose: number): Formula {
  const { backend, model, length } = view;
  return ['neg', ['log', ['neg', ['log', backend.uniform(streamOf(view, purpose), model.kvHeads, length)]]]];
}
