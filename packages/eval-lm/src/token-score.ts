/** Cross entropy of the right token in nats, and whether it was the most probable one. */
export interface TokenScore {
  readonly nll: number;
  readonly correct: 0 | 1;
}

/**
 * Scores one prediction: −log softmax(logits)[label], with the usual maximum subtraction; among equal logits the first counts as the most
 * probable.
 * @param logits of the last position, one per vocabulary entry
 * @param label index of the token that follows
 */
export function scoreToken(logits: Float32Array, label: number): TokenScore {
  let best = 0;
  for (let i = 1; i < logits.length; i++) if ((logits[i] ?? 0) > (logits[best] ?? 0)) best = i;
  const highest = logits[best] ?? Number.NaN;
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - highest);
  return { nll: Math.log(sum) + highest - (logits[label] ?? Number.NaN), correct: best === label ? 1 : 0 };
}
