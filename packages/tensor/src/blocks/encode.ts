import { floatToHalf } from '../float16.js';

/** Values to the next even integer where they lie half-way. */
function nearestEven(x: number): number {
  const down = Math.floor(x);
  const rest = x - down;
  return rest > 0.5 || (rest === 0.5 && down % 2 !== 0) ? down + 1 : down;
}

/**
 * Block bytes of `q8_0`, as a cache stores its entries: the largest magnitude of 32 values becomes 127. A block with a value that is not finite is NaN
 * throughout. The number of values must be a multiple of 32.
 */
export function encodeQ8_0(values: Float32Array): Uint8Array {
  const out = new Uint8Array((values.length / 32) * 34);
  const view = new DataView(out.buffer);
  for (let block = 0; block < values.length / 32; block++) {
    const own = values.subarray(32 * block, 32 * block + 32);
    const sound = own.every(Number.isFinite);
    const largest = own.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    view.setUint16(block * 34, floatToHalf(sound ? Math.fround(largest / 127) : Number.NaN), true);
    const inverse = sound && largest > 0 ? Math.fround(127 / largest) : 0;
    for (const [index, value] of own.entries())
      view.setInt8(block * 34 + 2 + index, sound ? nearestEven(Math.fround(value * inverse)) : 0);
  }
  return out;
}
