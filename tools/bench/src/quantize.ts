import { floatToHalf, halfToFloat } from '@kvsift/tensor';

/** Formats that the benchmark models are written in. */
export type WrittenType = 'f32' | 'q4_0' | 'q4_1' | 'q8_0';

/** Block bytes of values, rounded as ggml's reference quantisers do. The length must be a multiple of 32. */
export function quantize(type: Exclude<WrittenType, 'f32'>, values: Float32Array): Uint8Array {
  const size = { q4_0: 18, q4_1: 20, q8_0: 34 }[type];
  const blocks = values.length / 32;
  const out = new Uint8Array(blocks * size);
  const view = new DataView(out.buffer);
  for (let block = 0; block < blocks; block++) {
    writeBlock[type](values.subarray(32 * block, 32 * block + 32), view, block * size);
  }
  return out;
}

const writeBlock = { q4_0, q4_1, q8_0 };

function nibbles(view: DataView, at: number, level: (index: number) => number): void {
  for (let index = 0; index < 16; index++) view.setUint8(at + index, level(index) | (level(index + 16) << 4));
}

function q4_0(values: Float32Array, view: DataView, at: number): void {
  const largest = values.reduce((most, value) => (Math.abs(value) > Math.abs(most) ? value : most), 0);
  const scale = largest / -8;
  view.setUint16(at, floatToHalf(scale), true);
  nibbles(view, at + 2, (index) => (scale === 0 ? 8 : Math.min(15, Math.trunc((values[index] ?? 0) / scale + 8.5))));
}

function q4_1(values: Float32Array, view: DataView, at: number): void {
  const low = values.reduce((least, value) => Math.min(least, value), Number.POSITIVE_INFINITY);
  const high = values.reduce((most, value) => Math.max(most, value), Number.NEGATIVE_INFINITY);
  const scale = (high - low) / 15;
  view.setUint16(at, floatToHalf(scale), true);
  view.setUint16(at + 2, floatToHalf(low), true);
  nibbles(view, at + 4, (index) => (scale === 0 ? 0 : Math.min(15, Math.trunc(((values[index] ?? 0) - low) / scale + 0.5))));
}

function q8_0(values: Float32Array, view: DataView, at: number): void {
  const scale = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0) / 127;
  view.setUint16(at, floatToHalf(scale), true);
  const exact = halfToFloat(floatToHalf(scale));
  for (let index = 0; index < 32; index++)
    view.setInt8(at + 2 + index, exact === 0 ? 0 : Math.round((values[index] ?? 0) / scale));
}
