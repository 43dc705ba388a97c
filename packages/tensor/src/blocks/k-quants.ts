import type { BlockReader } from './reader.js';

/** 2 bits: 16 groups of 16 with a 4-bit scale and a 4-bit minimum each. */
export function q2_k(read: BlockReader, at: number, out: Float32Array, to: number): void {
  const d = read.half(at + 80);
  const minimum = read.half(at + 82);
  for (let group = 0; group < 16; group++) {
    const packed = read.byte(at + group);
    const scale = Math.fround(d * (packed & 15));
    const offset = Math.fround(minimum * (packed >> 4));
    const shift = 2 * ((group >> 1) & 3);
    const from = at + 16 + 32 * (group >> 3) + 16 * (group & 1);
    for (let index = 0; index < 16; index++) {
      out[to + 16 * group + index] = Math.fround(scale * ((read.byte(from + index) >> shift) & 3)) - offset;
    }
  }
}

/** 3 bits: two in `qs`, the third in a mask (absent means − 4); 16 signed 6-bit scales. */
export function q3_k(read: BlockReader, at: number, out: Float32Array, to: number): void {
  const d = read.half(at + 108);
  const scales = at + 96;
  for (let group = 0; group < 16; group++) {
    const low = group < 8 ? read.byte(scales + group) & 15 : read.byte(scales + group - 8) >> 4;
    const high = (read.byte(scales + 8 + (group & 3)) >> (2 * (group >> 2))) & 3;
    const scale = Math.fround(d * ((low | (high << 4)) - 32));
    const shift = 2 * ((group >> 1) & 3);
    const half = group >> 3;
    const mask = 1 << (4 * half + ((group >> 1) & 3));
    const offset = 16 * (group & 1);
    for (let index = 0; index < 16; index++) {
      const two = (read.byte(at + 32 + 32 * half + offset + index) >> shift) & 3;
      const third = read.byte(at + offset + index) & mask ? 0 : 4;
      out[to + 16 * group + index] = scale * (two - third);
    }
  }
}

/** 6-bit scale and minimum of group `j` of 8, packed in 12 bytes. */
function scaleAndMinimum(read: BlockReader, at: number, j: number): readonly [scale: number, minimum: number] {
  if (j < 4) return [read.byte(at + j) & 63, read.byte(at + j + 4) & 63];
  const mixed = read.byte(at + j + 4);
  return [(mixed & 15) | ((read.byte(at + j - 4) >> 6) << 4), (mixed >> 4) | ((read.byte(at + j) >> 6) << 4)];
}

/** 4 bits: 8 groups of 32. */
export function q4_k(read: BlockReader, at: number, out: Float32Array, to: number): void {
  const d = read.half(at);
  const minimum = read.half(at + 2);
  for (let group = 0; group < 8; group++) {
    const [scale, offset] = scaleAndMinimum(read, at + 4, group);
    const [a, b] = [Math.fround(d * scale), Math.fround(minimum * offset)];
    const from = at + 16 + 32 * (group >> 1);
    for (let index = 0; index < 32; index++) {
      const byte = read.byte(from + index);
      out[to + 32 * group + index] = Math.fround(a * (group & 1 ? byte >> 4 : byte & 15)) - b;
    }
  }
}

/** 5 bits: as 4 bits, the fifth in `qh`. */
export function q5_k(read: BlockReader, at: number, out: Float32Array, to: number): void {
  const d = read.half(at);
  const minimum = read.half(at + 2);
  for (let group = 0; group < 8; group++) {
    const [scale, offset] = scaleAndMinimum(read, at + 4, group);
    const [a, b] = [Math.fround(d * scale), Math.fround(minimum * offset)];
    const from = at + 48 + 32 * (group >> 1);
    for (let index = 0; index < 32; index++) {
      const byte = read.byte(from + index);
      const fifth = (read.byte(at + 16 + index) >> group) & 1;
      out[to + 32 * group + index] = Math.fround(a * ((group & 1 ? byte >> 4 : byte & 15) + 16 * fifth)) - b;
    }
  }
}

/** 6 bits: four low in `ql`, two high in `qh`; 16 signed 8-bit scales. */
export function q6_k(read: BlockReader, at: number, out: Float32Array, to: number): void {
  const d = read.half(at + 208);
  for (let index = 0; index < 256; index++) {
    const half = index >> 7;
    const quarter = (index >> 5) & 3;
    const lane = index & 31;
    const byte = read.byte(at + 64 * half + 32 * (quarter & 1) + lane);
    const low = quarter < 2 ? byte & 15 : byte >> 4;
    const high = (read.byte(at + 128 + 32 * half + lane) >> (2 * quarter)) & 3;
    out[to + index] = Math.fround(d * read.signed(at + 192 + (index >> 4))) * ((low | (high << 4)) - 32);
  }
}
