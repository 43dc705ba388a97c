/** Names one stream of random numbers: equal keys give equal numbers on every backend and in any order of calls. */
export interface RandomKey {
  /** 0 … 2^32 − 1 each. */
  readonly seed: number;
  readonly sequence: number;
  readonly layer: number;
  readonly purpose: number;
}

const M0 = 0xd2511f53;
const M1 = 0xcd9e8d57;
const W0 = 0x9e3779b9;
const W1 = 0xbb67ae85;

/** High and low words of a 32 × 32 bit product. */
function multiply(a: number, b: number): [high: number, low: number] {
  const low = Math.imul(a, b) >>> 0;
  const cross = (a >>> 16) * (b & 0xffff);
  const carry = (a & 0xffff) * (b >>> 16) + (((a & 0xffff) * (b & 0xffff)) >>> 16) + (cross % 65536);
  return [((a >>> 16) * (b >>> 16) + Math.floor(cross / 65536) + Math.floor(carry / 65536)) >>> 0, low];
}

/** Philox4x32-10 (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011): four words for one counter and key. */
export function philox4x32(
  counter: readonly [number, number, number, number],
  key: readonly [number, number],
): [number, number, number, number] {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < 10; round++) {
    const [h0, l0] = multiply(M0, c0);
    const [h1, l1] = multiply(M1, c2);
    [c0, c1, c2, c3] = [(h1 ^ c1 ^ k0) >>> 0, l1, (h0 ^ c3 ^ k1) >>> 0, l0];
    k0 = (k0 + W0) >>> 0;
    k1 = (k1 + W1) >>> 0;
  }
  return [c0 >>> 0, c1 >>> 0, c2 >>> 0, c3 >>> 0];
}

/**
 * Number `index` of row `row` of a stream, uniform in (0, 1): (⌊w / 2^9⌋ + 0.5) · 2^−23 of word w = `index mod 4` of the Philox block with
 * counter (index / 4, row, layer, purpose) and key (seed, sequence). Exact in float32, so that it is the same number everywhere.
 */
export function uniformAt(key: RandomKey, row: number, index: number): number {
  const words = philox4x32(
    [Math.floor(index / 4) >>> 0, row >>> 0, key.layer >>> 0, key.purpose >>> 0],
    [key.seed >>> 0, key.sequence >>> 0],
  );
  return (((words[index % 4] ?? 0) >>> 9) + 0.5) / 8388608;
}
