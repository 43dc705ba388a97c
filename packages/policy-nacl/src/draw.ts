/**
 * Draws `count` distinct items by weight, as NumPy's `choice(replace=False, p)` does: per round one uniform number for every item still missing,
 * found items leave the running, first occurrences count. @param uniform next number in [0, 1)
 */
export function drawWithoutReplacement(weights: ArrayLike<number>, count: number, uniform: () => number): number[] {
  const rest = Float64Array.from(weights);
  const found: number[] = [];
  const wanted = Math.min(count, rest.length);
  while (found.length < wanted) {
    const sums = new Float64Array(rest.length);
    let total = 0;
    for (const [index, weight] of rest.entries()) sums[index] = total += weight;
    const drawn = Array.from({ length: wanted - found.length }, () => firstAbove(sums, uniform() * total));
    for (const index of new Set(drawn)) {
      found.push(index);
      rest[index] = 0;
    }
  }
  return found;
}

/** First index whose running sum exceeds the value. */
function firstAbove(sums: Float64Array, value: number): number {
  let [low, high] = [0, sums.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sums[middle] ?? 0) > value) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Softmax of scores over a temperature; a temperature of 0 means equal weights. */
export function drawWeights(scores: readonly number[], temperature: number): Float64Array {
  if (temperature <= 0) return new Float64Array(scores.length).fill(1);
  const most = Math.max(...scores);
  return Float64Array.from(scores, (score) => Math.exp((score - most) / temperature));
}
