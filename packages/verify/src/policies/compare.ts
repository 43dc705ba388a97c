import type { Finding } from '../forward/compare.js';

/** Tolerance of scores: |ours − golden| ≤ relative · |golden| + absolute. */
export interface ScoreTolerance {
  readonly relative: number;
  readonly absolute: number;
}

/** Scores of the golden README; some presses have wider ones. */
export const usualTolerance: ScoreTolerance = { relative: 1e-4, absolute: 1e-6 };

/** Golden entries from here on were protected by a first stage and have no score of their own. */
const protectedFrom = 3e38;

/**
 * Compares scores [heads, golden columns] with the first columns of ours [heads, n]. `columns` limits the comparison to entries that are scored.
 */
export function sameScores(
  ours: Float32Array,
  golden: Float32Array,
  heads: number,
  tolerance: ScoreTolerance = usualTolerance,
  columns: { readonly first: number; readonly end: number } = { first: 0, end: golden.length / heads },
): Finding {
  const [width, goldenWidth] = [ours.length / heads, golden.length / heads];
  let worst: { excess: number; text: string } | undefined;
  for (let head = 0; head < heads; head++) {
    for (let column = columns.first; column < columns.end; column++) {
      const expected = golden[head * goldenWidth + column] ?? Number.NaN;
      if (expected >= protectedFrom) continue;
      const actual = ours[head * width + column] ?? Number.NaN;
      const difference = Math.abs(actual - expected);
      const excess = difference / (tolerance.relative * Math.abs(expected) + tolerance.absolute);
      if (excess <= (worst?.excess ?? 1)) continue;
      worst = {
        excess: Number.isNaN(excess) ? Number.POSITIVE_INFINITY : excess,
        text: `largest score difference ${difference.toExponential(2)} at [${head}, ${column}] (${actual} instead of ${expected}), ${excess.toFixed(1)} × the tolerance`,
      };
    }
  }
  return worst?.text;
}

export interface KeptOptions {
  /** Scores [heads, columns] that decide ties; entries beyond the columns are protected. */
  readonly scores?: Float32Array;
  /** Columns whose scores count; the others are protected (above every score), whatever number stands there. Default all. */
  readonly columns?: { readonly first: number; readonly end: number };
  /** Entries per head that may differ where a policy chains decisions. Default 0. */
  readonly slack?: number;
  /** Relative distance from the threshold within which either choice is right. Default 1e-4. */
  readonly tie?: number;
}

type Sets = readonly (readonly number[])[];

/**
 * Compares kept sets per head: counts must agree; entries may differ where their score is within the tie tolerance of the lowest kept one.
 */
export function sameKept(ours: Sets, golden: Sets, options: KeptOptions = {}): Finding {
  const { scores, slack = 0, tie = 1e-4 } = options;
  if (ours.length !== golden.length) return `${ours.length} heads instead of ${golden.length}`;
  const width = (scores?.length ?? 0) / golden.length;
  const { first = 0, end = width } = options.columns ?? {};
  for (const [head, expected] of golden.entries()) {
    const actual = ours[head] ?? [];
    if (Math.abs(actual.length - expected.length) > slack) {
      return `head ${head}: ${actual.length} kept instead of ${expected.length}`;
    }
    const wanted = new Set(expected);
    const present = new Set(actual);
    if (present.size !== actual.length || actual.some((slot, at) => at > 0 && slot <= (actual[at - 1] ?? 0))) {
      return `head ${head}: kept slots are not strictly ascending`;
    }
    const differing = [...actual.filter((slot) => !wanted.has(slot)), ...expected.filter((slot) => !present.has(slot))];
    const own = scores?.subarray(head * width, (head + 1) * width);
    const score = (slot: number) => (slot < first || slot >= end ? Number.POSITIVE_INFINITY : (own?.[slot] ?? Number.NaN));
    const wrong = differing.filter((slot) => own === undefined || !tied(score, width, expected, slot, tie));
    if (wrong.length > 2 * slack) {
      return `head ${head}: ${wrong.length} entries differ beyond ties, first ${wrong[0]} (${present.has(wrong[0] ?? -1) ? 'kept' : 'evicted'} by us)`;
    }
  }
  return undefined;
}

/** Whether a slot's score is within the tolerance of the lowest kept score; slots from `width` on have none. */
function tied(score: (slot: number) => number, width: number, kept: readonly number[], slot: number, tie: number): boolean {
  const threshold = kept
    .filter((index) => index < width)
    .reduce((least, index) => Math.min(least, score(index)), Number.POSITIVE_INFINITY);
  if (score(slot) === threshold) return true;
  return Number.isFinite(threshold) && Math.abs(score(slot) - threshold) <= tie * Math.abs(threshold) + 1e-12;
}

/** Integer tables that must be equal. */
export function sameNumbers(ours: ArrayLike<number>, golden: ArrayLike<number>): Finding {
  if (ours.length !== golden.length) return `${ours.length} numbers instead of ${golden.length}`;
  const at = Array.from(golden).findIndex((expected, index) => ours[index] !== expected);
  return at < 0 ? undefined : `${ours[at]} instead of ${golden[at]} at ${at}`;
}

/** Rows of a matrix of slots. */
export function rowsOf(values: ArrayLike<number>, rows: number): number[][] {
  const width = values.length / rows;
  return Array.from({ length: rows }, (_, row) =>
    Array.from({ length: width }, (_, column) => values[row * width + column] ?? -1),
  );
}
