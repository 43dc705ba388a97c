import { uniformAt } from '@kvsift/tensor';

/** A number with its 95 % interval. */
export interface Estimate {
  readonly mean: number;
  readonly low: number;
  readonly high: number;
}

const resamples = 1000;

/** Draws of `n` from `n` with replacement, the same for all values of one length: comparisons of cells do not differ by luck. */
export type Resampler = (n: number) => readonly Uint32Array[];

/** A resampler of 1,000 draws, each set drawn once and kept. @param seed equal seeds give equal intervals */
export function createResampler(seed: number): Resampler {
  const made = new Map<number, readonly Uint32Array[]>();
  return (n) => {
    const present = made.get(n);
    if (present !== undefined) return present;
    const draws = Array.from({ length: resamples }, (_, row) =>
      Uint32Array.from({ length: n }, (_, index) =>
        Math.floor(uniformAt({ seed, sequence: n, layer: 0, purpose: 0 }, row, index) * n),
      ),
    );
    made.set(n, draws);
    return draws;
  };
}

/** Mean of values and its percentile-bootstrap interval (Efron 1979) from 1,000 resamples; NaN for no values. */
export function estimateMean(values: readonly number[], resampler: Resampler): Estimate {
  const mean = meanOf(values);
  if (values.length === 0) return { mean, low: mean, high: mean };
  const means = resampler(values.length)
    .map((draw) => draw.reduce((sum, index) => sum + (values[index] ?? 0), 0) / values.length)
    .sort((a, b) => a - b);
  return { mean, low: quantile(means, 0.025), high: quantile(means, 0.975) };
}

/** Arithmetic mean; NaN for no values. */
export function meanOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Quantile of ascending values, linear between neighbours. */
function quantile(sorted: readonly number[], share: number): number {
  const at = share * (sorted.length - 1);
  const low = sorted[Math.floor(at)] ?? Number.NaN;
  const high = sorted[Math.ceil(at)] ?? Number.NaN;
  return low + (high - low) * (at - Math.floor(at));
}
