import type { Backend } from '@kvsift/tensor';
import { median } from '../median.js';

/** Bytes per second of copies on the device, read and written bytes counted, as the median of ten. */
export async function measureCopy(backend: Backend, bytes: number): Promise<number> {
  using x = backend.empty('f32', [bytes / 4]);
  const rates: number[] = [];
  for (let round = 0; round < 10; round++) {
    await backend.finish();
    const started = performance.now();
    for (let copy = 0; copy < 8; copy++) backend.slice(x, 0, 0, bytes / 4).dispose();
    await backend.finish();
    rates.push((8 * 2 * bytes) / ((performance.now() - started) / 1000));
  }
  return median(rates);
}
