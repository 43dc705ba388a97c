import type { ScoredSample } from '@kvsift/eval';

/** A sample's score, null where it failed, and its place on the grid. */
export interface HeatPoint {
  readonly score: ScoredSample['score'] | null;
  readonly meta?: ScoredSample['meta'] | undefined;
}

/** Mean scores of a grid. */
export interface HeatMap {
  /** Tokens, ascending: the columns. */
  readonly lengths: readonly number[];
  /** Percent, ascending: the rows. */
  readonly depths: readonly number[];
  /** `values[row][column]`; null where nothing was scored. */
  readonly values: readonly (readonly (number | null)[])[];
}

const sortedNumbers = (values: Iterable<number>) => [...new Set(values)].sort((a, b) => a - b);

/** Arranges results by the `length` and `depth` in their `meta`; results without them, and failures, are left out. */
export function heatMapOf(results: readonly HeatPoint[]): HeatMap {
  const cells = new Map<string, number[]>();
  const points = results.flatMap(({ score, meta }) => {
    const [length, depth] = [meta?.length, meta?.depth];
    return typeof length === 'number' && typeof depth === 'number' ? [{ length, depth, score }] : [];
  });
  for (const { length, depth, score } of points) {
    if (typeof score !== 'number') continue;
    const key = `${length} ${depth}`;
    cells.set(key, [...(cells.get(key) ?? []), score]);
  }
  const lengths = sortedNumbers(points.map((point) => point.length));
  const depths = sortedNumbers(points.map((point) => point.depth));
  const mean = (scores: readonly number[] | undefined) =>
    scores === undefined ? null : scores.reduce((sum, score) => sum + score, 0) / scores.length;
  return { lengths, depths, values: depths.map((depth) => lengths.map((length) => mean(cells.get(`${length} ${depth}`)))) };
}
