import type { RandomKey, TopOptions } from '@kvsift/tensor';
import { KvsiftError, uniformAt } from '@kvsift/tensor';

export function pool(x: Float32Array, size: number, kernelSize: number, kind: 'average' | 'max', out: Float32Array): void {
  const reach = (kernelSize - 1) / 2;
  for (let first = 0; first < x.length; first += size) {
    for (let at = 0; at < size; at++) {
      let sum = 0;
      let most = Number.NEGATIVE_INFINITY;
      for (let near = Math.max(0, at - reach); near <= Math.min(size - 1, at + reach); near++) {
        const value = x[first + near] ?? 0;
        sum += value;
        most = Math.max(most, value);
      }
      out[first + at] = kind === 'average' ? sum / kernelSize : most;
    }
  }
}

/** Negative where a comes first: higher score, then lower index; NaN counts as −∞. */
function canonical(scores: Float32Array): (a: number, b: number) => number {
  const value = (index: number) => {
    const score = scores[index] ?? Number.NaN;
    return Number.isNaN(score) ? Number.NEGATIVE_INFINITY : score;
  };
  return (a, b) => {
    const [x, y] = [value(a), value(b)];
    return x === y ? a - b : y > x ? 1 : -1;
  };
}

function refuseTop(sentence: string): never {
  throw new KvsiftError('invalid_argument', `top: ${sentence}`, { op: 'top' });
}

/** @throws KvsiftError `invalid_argument` where the counts do not fit what the host was told */
export function checkCounts(counts: Int32Array, length: number, total: number, max: number): void {
  for (const [head, count] of counts.entries()) {
    if (count < 0 || count > Math.min(max, length))
      refuseTop(`head ${head} is to keep ${count} entries of ${length}, at most ${max}`);
  }
  const sum = counts.reduce((all, count) => all + count, 0);
  if (sum !== total) refuseTop(`the counts sum to ${sum}, not to the total ${total}`);
}

/** Kept indices per head, ascending. @throws KvsiftError `invalid_argument` where a head has more protected entries than it may keep */
export function top(
  scores: Float32Array,
  heads: number,
  counts: ArrayLike<number>,
  options: TopOptions,
  protect: Float32Array | undefined,
): number[][] {
  const length = scores.length / heads;
  const { protectFirst = 0, protectLast = 0 } = options;
  return Array.from({ length: heads }, (_, head) => {
    const own = scores.subarray(head * length, (head + 1) * length);
    const kept: number[] = [];
    const open: number[] = [];
    for (let index = 0; index < length; index++) {
      const safe = index < protectFirst || index >= length - protectLast || (protect?.[head * length + index] ?? 0) !== 0;
      (safe ? kept : open).push(index);
    }
    const count = counts[head] ?? 0;
    if (kept.length > count) refuseTop(`head ${head} has ${kept.length} protected entries, ${count} are to be kept`);
    open.sort(canonical(own));
    return [...kept, ...open.slice(0, count - kept.length)].sort((a, b) => a - b);
  });
}

export function topShares(scores: Float32Array, heads: number, total: number, out: Int32Array): void {
  const length = scores.length / heads;
  const order = Array.from(scores.keys()).sort(canonical(scores));
  for (const index of order.slice(0, total)) {
    const head = Math.floor(index / length);
    out[head] = (out[head] ?? 0) + 1;
  }
}

/** Largest remainder, with what a cap cuts off given to the others by remainder; NaN counts as 0. */
export function roundShares(shares: Float32Array, total: number, cap: number, out: Int32Array): void {
  const share = (index: number) => shares[index] || 0;
  for (const index of shares.keys()) out[index] = Math.min(cap, Math.max(0, Math.floor(share(index))));
  const rest = Array.from(shares.keys(), (index) => share(index) - (out[index] ?? 0));
  const order = Array.from(shares.keys()).sort((a, b) => (rest[b] ?? 0) - (rest[a] ?? 0) || a - b);
  let missing = total - out.reduce((sum, count) => sum + count, 0);
  while (missing > 0) {
    for (const index of order) {
      if (missing === 0) break;
      const count = out[index] ?? 0;
      if (count >= cap) continue;
      out[index] = count + 1;
      missing -= 1;
    }
  }
  while (missing < 0) {
    for (const index of [...order].reverse()) {
      if (missing === 0) break;
      const count = out[index] ?? 0;
      if (count <= 0) continue;
      out[index] = count - 1;
      missing += 1;
    }
  }
}

export function uniform(key: RandomKey, rows: number, columns: number, out: Float32Array): void {
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) out[row * columns + column] = uniformAt(key, row, column);
  }
}
