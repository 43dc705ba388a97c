/** What one comparison found: undefined where it is within tolerance, else a sentence with the largest difference and where it is. */
export type Finding = string | undefined;

/** Largest absolute difference of two arrays against a tolerance. */
export function closeTo(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: number,
  shape: readonly number[],
): Finding {
  if (actual.length !== expected.length) return `${actual.length} values instead of ${expected.length}`;
  let worst = -1;
  let largest = tolerance;
  for (let index = 0; index < expected.length; index++) {
    const difference = Math.abs((actual[index] ?? Number.NaN) - (expected[index] ?? Number.NaN));
    if (!(difference <= largest)) {
      worst = index;
      largest = difference;
      if (Number.isNaN(difference)) break;
    }
  }
  if (worst < 0) return undefined;
  return `largest difference ${largest.toExponential(2)} at ${place(worst, shape)} (${actual[worst]} instead of ${expected[worst]}), allowed ${tolerance.toExponential(1)}`;
}

/** As `closeTo`, relative to each expected value. */
export function closeRelative(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: number,
  shape: readonly number[],
): Finding {
  const ratios = Array.from(expected, (value, index) => (actual[index] ?? Number.NaN) / value);
  return closeTo(
    ratios,
    ratios.map(() => 1),
    tolerance,
    shape,
  );
}

/** [2, 5] of a flat index. */
function place(index: number, shape: readonly number[]): string {
  const axes: number[] = [];
  let rest = index;
  for (const size of [...shape].reverse()) {
    axes.unshift(rest % size);
    rest = Math.floor(rest / size);
  }
  return `[${axes.join(', ')}]`;
}

/**
 * Checks ids of the largest logits of one row: the logit of golden id k must be as large as our k-th largest, up to twice the tolerance, so that
 * near-ties may swap.
 */
export function sameTop(logits: Float32Array, ids: ArrayLike<number>, tolerance: number): Finding {
  const ours = largest(logits, ids.length);
  for (let rank = 0; rank < ids.length; rank++) {
    const gap = (ours[rank] ?? 0) - (logits[ids[rank] ?? -1] ?? Number.NEGATIVE_INFINITY);
    if (!(Math.abs(gap) <= 2 * tolerance))
      return `rank ${rank}: id ${ids[rank]} is ${gap.toExponential(2)} below the value it should have`;
  }
  return undefined;
}

/** The `count` largest values, descending. */
function largest(values: Float32Array, count: number): number[] {
  const top: number[] = [];
  for (const value of values) {
    if (top.length === count && value <= (top[count - 1] ?? 0)) continue;
    let at = top.length;
    while (at > 0 && (top[at - 1] ?? 0) < value) at--;
    top.splice(at, 0, value);
    if (top.length > count) top.pop();
  }
  return top;
}
