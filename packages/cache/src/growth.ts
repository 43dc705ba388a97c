const smallest = 32;

/** Free rows per head after a growth: what is asked for, at least a quarter of what is there, so that appending is O(1) on average. */
export function growth(length: number, asked: number): number {
  return Math.max(asked, smallest, Math.ceil(length / 4));
}
