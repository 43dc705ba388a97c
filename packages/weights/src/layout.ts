import { KvsiftError } from '@kvsift/tensor';

/** Bytes of one tensor in a file: [start, end). */
export interface ByteRange {
  readonly name: string;
  readonly start: number;
  readonly end: number;
}

/** Orders ranges by place in the file; empty ones first where they touch. @throws KvsiftError `file_malformed` where two overlap */
export function sortedWithoutOverlap(path: string, ranges: readonly ByteRange[]): ByteRange[] {
  const sorted = [...ranges].sort((a, b) => a.start - b.start || a.end - b.end);
  let previous: ByteRange | undefined;
  for (const range of sorted) {
    if (previous && range.start < previous.end && range.end > range.start) {
      throw new KvsiftError(
        'file_malformed',
        `${path}: tensor "${range.name}" starts at byte ${range.start}, inside tensor "${previous.name}" that ends at byte ${previous.end}`,
        { path, tensor: range.name, overlaps: previous.name },
      );
    }
    if (!previous || range.end > previous.end) previous = range;
  }
  return sorted;
}

/** Product of sizes, or undefined where it is not an exact integer. */
export function exactProduct(sizes: readonly number[]): number | undefined {
  let product = 1;
  for (const size of sizes) product *= size;
  // A zero hides an overflow before it (∞ · 0); sizes themselves are exact.
  return sizes.includes(0) ? 0 : Number.isSafeInteger(product) ? product : undefined;
}
