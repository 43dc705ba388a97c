import type { RopeConfig } from './config.js';

/** Rotary frequencies of a layer, scaling applied. */
export interface RopeTable {
  /** Radians per position of pair c, length dimensions / 2. */
  readonly inverseFrequencies: Float32Array;
  /** Factor on cos and sin. */
  readonly scale: number;
}

/**
 * Rotary frequencies after scaling.
 * RoPE: Su et al., arXiv 2104.09864, θ^(−2c/d). Linear: Chen et al., 2306.15595. Dynamic NTK: base grows with the length. YaRN: Peng et al.,
 * 2309.00071, section 3.2-3.4. LongRoPE: Ding et al., 2402.13753. llama3: as Meta's Llama 3.1 release.
 * @param length tokens that the sequence will have; only dynamic and longrope depend on it
 */
export function ropeTable(config: RopeConfig, length: number): RopeTable {
  const { theta, dimensions, scaling } = config;
  const half = dimensions / 2;
  const plain = (base: number) => Array.from({ length: half }, (_, c) => base ** ((-2 * c) / dimensions));
  const table = (values: readonly number[], scale = 1): RopeTable => ({ inverseFrequencies: Float32Array.from(values), scale });

  switch (scaling.type) {
    case 'default':
      return table(plain(theta));
    case 'linear':
      return table(plain(theta).map((f) => f / scaling.factor));
    case 'factors':
      return table(plain(theta).map((f, c) => f / (scaling.factors[c] ?? 1)));
    case 'dynamic': {
      const { factor, originalLength } = scaling;
      if (length <= originalLength) return table(plain(theta));
      const stretch = (factor * length) / originalLength - (factor - 1);
      return table(plain(theta * stretch ** (dimensions / (dimensions - 2))));
    }
    case 'llama3': {
      const { factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalLength } = scaling;
      return table(
        plain(theta).map((f) => {
          const turns = (originalLength * f) / (2 * Math.PI);
          if (turns < low) return f / factor;
          if (turns > high) return f;
          const smooth = (turns - low) / (high - low);
          return ((1 - smooth) * f) / factor + smooth * f;
        }),
      );
    }
    case 'yarn': {
      const { factor, originalLength, betaFast, betaSlow, truncate } = scaling;
      const dimensionOf = (turns: number) =>
        (dimensions * Math.log(originalLength / (turns * 2 * Math.PI))) / (2 * Math.log(theta));
      const [first, last] = [dimensionOf(betaFast), dimensionOf(betaSlow)];
      const low = Math.max(truncate ? Math.floor(first) : first, 0);
      const high = Math.min(truncate ? Math.ceil(last) : last, dimensions - 1);
      const width = high === low ? 0.001 : high - low;
      const values = plain(theta).map((f, c) => {
        const ramp = Math.min(1, Math.max(0, (c - low) / width));
        return (f / factor) * ramp + f * (1 - ramp);
      });
      return table(values, scaling.attentionFactor ?? (factor <= 1 ? 1 : 0.1 * Math.log(factor) + 1));
    }
    case 'longrope': {
      const factors = length > scaling.originalLength ? scaling.longFactors : scaling.shortFactors;
      return table(
        plain(theta).map((f, c) => f / (factors[c] ?? 1)),
        scaling.attentionFactor,
      );
    }
  }
}
