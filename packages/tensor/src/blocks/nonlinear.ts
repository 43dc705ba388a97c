import type { BlockReader } from './reader.js';

/** The 16 levels of the IQ4 formats. */
const levels = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

function lookUp(read: BlockReader, at: number, out: Float32Array, to: number, scale: number): void {
  for (let index = 0; index < 16; index++) {
    const byte = read.byte(at + index);
    out[to + index] = scale * (levels[byte & 15] ?? 0);
    out[to + index + 16] = scale * (levels[byte >> 4] ?? 0);
  }
}

/** One scale for 32 values. */
export function iq4_nl(read: BlockReader, at: number, out: Float32Array, to: number): void {
  lookUp(read, at + 2, out, to, read.half(at));
}

/** 8 groups of 32 with signed 6-bit scales. */
export function iq4_xs(read: BlockReader, at: number, out: Float32Array, to: number): void {
  const d = read.half(at);
  const highs = read.byte(at + 2) | (read.byte(at + 3) << 8);
  for (let group = 0; group < 8; group++) {
    const low = (read.byte(at + 4 + (group >> 1)) >> (4 * (group & 1))) & 15;
    const high = (highs >> (2 * group)) & 3;
    lookUp(read, at + 8 + 16 * group, out, to + 32 * group, Math.fround(d * ((low | (high << 4)) - 32)));
  }
}
