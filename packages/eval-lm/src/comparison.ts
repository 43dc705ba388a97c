import { createResampler, type Estimate, estimateMean } from '@kvsift/eval';
import type { ChunkResult } from './summary.js';

/** One way to treat the cache, over the same chunks as every other. */
export interface LmComparison {
  /** exp(mean nll) over all predicted tokens, interval from `estimated`. */
  readonly perplexity: Estimate;
  readonly accuracy: number;
  /** Mean nll minus the full cache's, in nats per token, paired; absent for the full cache itself. */
  readonly difference?: Estimate & { /** True where the interval holds 0. */ readonly withinNoise: boolean };
  readonly chunks: number;
  readonly tokens: number;
  /** What was resampled: whole chunks, or the tokens of the only one (which are not independent, so that the interval is too narrow). */
  readonly resampled: 'chunks' | 'tokens';
}

/**
 * Numbers of one setting with bootstrap intervals, paired chunk by chunk with the full cache.
 * @param full readings of the same chunks with nothing evicted
 */
export function compareReadings(results: readonly ChunkResult[], full?: readonly ChunkResult[], seed = 0): LmComparison {
  const resampler = createResampler(seed);
  const resampled = results.length > 1 ? 'chunks' : 'tokens';
  const nlls = units(results, resampled);
  const estimate = estimateMean(nlls, resampler);
  const perplexity = { mean: Math.exp(estimate.mean), low: Math.exp(estimate.low), high: Math.exp(estimate.high) };
  const all = results.flatMap(({ correct }) => correct);
  const common = {
    perplexity,
    accuracy: mean(all),
    chunks: results.length,
    tokens: all.length,
    resampled,
  } as const;
  if (full === undefined) return common;
  const others = units(full.slice(0, results.length), resampled);
  const difference = estimateMean(
    nlls.map((nll, index) => nll - (others[index] ?? Number.NaN)),
    resampler,
  );
  return { ...common, difference: { ...difference, withinNoise: difference.low <= 0 && difference.high >= 0 } };
}

function units(results: readonly ChunkResult[], kind: 'chunks' | 'tokens'): readonly number[] {
  return kind === 'chunks' ? results.map(({ nlls }) => mean(nlls)) : (results[0]?.nlls ?? []);
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
