import type { BlockReader } from './reader.js';

/** Writes the 32 values of one block: low nibbles first, then high ones. */
function nibbles(
  read: BlockReader,
  at: number,
  out: Float32Array,
  to: number,
  value: (nibble: number, index: number) => number,
): void {
  for (let index = 0; index < 16; index++) {
    const byte = read.byte(at + index);
    out[to + index] = value(byte & 15, index);
    out[to + index + 16] = value(byte >> 4, index + 16);
  }
}

/** d · (q − 8) */
export function q4_0(read: BlockReader, at: number, out: Float32Array, to: number): void {
  const d = read.half(at);
  nibbles(read, at + 2, out, to, (q) => d * (q - 8));
}

/** d · q + m */
export function q4_1(read: BlockReader, at: number, out: Float32Array, to: number): void {
  const d = read.half(at);
  const m = read.half(at + 2);
  nibbles(read, at + 4, out, to, (q) => Math.fround(d * q) + m);
}

/** d · (q − 16), the fifth bits in one word */
export function q5_0(read: BlockReader, at: number, out: Float32Array, to: number): void {
  const d = read.half(at);
  const high = read.word(at + 2);
  nibbles(read, at + 6, out, to, (q, index) => d * ((q | (((high >>> index) & 1) << 4)) - 16));
}

/** d · q + m, five bits */
export function q5_1(read: BlockReader, at: number, out: Float32Array, to: number): void {
  const d = read.half(at);
  const m = read.half(at + 2);
  const high = read.word(at + 4);
  nibbles(read, at + 8, out, to, (q, index) => Math.fround(d * (q | (((high >>> index) & 1) << 4))) + m);
}

/** d · q, eight bits signed */
export function q8_0(read: BlockReader, at: number, out: Float32Array, to: number): void {
  const d = read.half(at);
  for (let index = 0; index < 32; index++) out[to + index] = d * read.signed(at + 2 + index);
}
