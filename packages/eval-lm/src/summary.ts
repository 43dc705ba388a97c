/** What a model made of one chunk: one entry per predicted token. */
export interface ChunkResult {
  /** Cross entropies in nats. */
  readonly nlls: readonly number[];
  /** 1 where the most probable token was the right one, else 0. */
  readonly correct: readonly number[];
}

/** Numbers and curves of one chunk. */
export interface ChunkSummary {
  /** exp(mean nll); NaN for a chunk without predictions. */
  readonly perplexity: number;
  readonly accuracy: number;
  /** exp of the running mean of the nlls. */
  readonly runningPerplexity: readonly number[];
  readonly runningAccuracy: readonly number[];
}

/** Points at the beginning of a curve that the published figures leave out. */
export const UNDRAWN_POINTS = 30;

function runningMeans(values: readonly number[]): number[] {
  let sum = 0;
  return values.map((value, i) => {
    sum += value;
    return sum / (i + 1);
  });
}

/** Perplexity, next-token accuracy and their running curves. */
export function summarizeChunk({ nlls, correct }: ChunkResult): ChunkSummary {
  const means = runningMeans(nlls);
  const runningAccuracy = runningMeans(correct);
  return {
    perplexity: Math.exp(means.at(-1) ?? Number.NaN),
    accuracy: runningAccuracy.at(-1) ?? Number.NaN,
    runningPerplexity: means.map(Math.exp),
    runningAccuracy,
  };
}

/** Mean and spread over chunks. */
export interface Spread {
  readonly mean: number;
  /** Sample standard deviation; 0 for one chunk. */
  readonly deviation: number;
}

/** Mean and sample standard deviation; NaN without values. */
export function spreadOf(values: readonly number[]): Spread {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  if (values.length === 1) return { mean, deviation: 0 };
  return { mean, deviation: Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1)) };
}

/** Perplexity and accuracy over all chunks. */
export function summarizeChunks(results: readonly ChunkResult[]): { readonly perplexity: Spread; readonly accuracy: Spread } {
  const summaries = results.map(summarizeChunk);
  return {
    perplexity: spreadOf(summaries.map(({ perplexity }) => perplexity)),
    accuracy: spreadOf(summaries.map(({ accuracy }) => accuracy)),
  };
}
