import { type DType, formatShape, type HostArray, type Shape, sameShape } from '@kvsift/tensor';

/** A tensor as it was read. */
export interface Numbers {
  readonly dtype: DType;
  readonly shape: Shape;
  readonly data: HostArray;
}

/**
 * How near a result must come. 'exact': equal numbers (NaN equals NaN, −0 equals 0). Otherwise |actual − expected| ≤ absolute + relative · |expected|
 * + ofLargest · (largest finite |expected|), or at most `bounds` of each element. Infinities and NaN must agree.
 */
export type Closeness =
  | 'exact'
  | { readonly absolute?: number; readonly relative?: number; readonly ofLargest?: number }
  | { readonly bounds: ArrayLike<number> };

/** Compares what a backend gave with what it must give: dtype, shape, kind of array, each element. @throws Error that names the worst element and its place */
export function compare(name: string, actual: Numbers, expected: Numbers, closeness: Closeness): void {
  if (actual.dtype !== expected.dtype || !sameShape(actual.shape, expected.shape)) {
    const [is, wanted] = [actual, expected].map(({ dtype, shape }) => `${dtype} ${formatShape(shape)}`);
    throw new Error(`${name} is ${is}, the reference gives ${wanted}`);
  }
  if (actual.data.length !== expected.data.length || actual.data.constructor !== expected.data.constructor) {
    throw new Error(`${name}: read() gives ${actual.data.constructor.name}(${actual.data.length}), not ${expected.data.length}`);
  }
  const allowed = allowance(expected.data, closeness);
  let worst = { at: -1, excess: 0 };
  let wrong = 0;
  for (let at = 0; at < expected.data.length; at++) {
    const [a, e] = [actual.data[at] ?? 0, expected.data[at] ?? 0];
    if (Object.is(a, e) || a === e) continue;
    const distance = Math.abs(a - e);
    const excess = Number.isNaN(distance) || !Number.isFinite(distance) ? Number.POSITIVE_INFINITY : distance - allowed(at);
    if (excess <= 0) continue;
    wrong += 1;
    if (excess > worst.excess) worst = { at, excess };
  }
  if (wrong === 0) return;
  const { at } = worst;
  throw new Error(
    `${name}: ${wrong} of ${expected.data.length} elements are off; the worst is [${place(at, expected.shape)}]: ${actual.data[at]}, the reference gives ${expected.data[at]} (allowed ± ${allowed(at)})`,
  );
}

function allowance(expected: HostArray, closeness: Closeness): (at: number) => number {
  if (closeness === 'exact') return () => 0;
  if ('bounds' in closeness) return (at) => closeness.bounds[at] ?? 0;
  const { absolute = 0, relative = 0, ofLargest = 0 } = closeness;
  let largest = 0;
  for (const value of expected) if (Number.isFinite(value)) largest = Math.max(largest, Math.abs(value));
  return (at) => absolute + relative * Math.abs(expected[at] ?? 0) + ofLargest * largest;
}

function place(at: number, shape: Shape): string {
  const indices: number[] = [];
  let rest = at;
  for (const size of [...shape].reverse()) {
    indices.unshift(rest % size);
    rest = Math.floor(rest / size);
  }
  return indices.join(', ');
}
