import { afterAll, describe, expect, it } from 'vitest';
import { createCpuBackend } from './index.js';

const MiB = 2 ** 20;

describe('memory', () => {
  const backend = createCpuBackend({ threads: 2 });
  afterAll(() => backend.dispose());

  it('counts exactly the bytes that tensors hold, in stream order', async () => {
    await backend.finish();
    const before = backend.memory().bytes;
    backend.resetPeak();
    const x = backend.upload(new Float32Array(1001), 'f32', [7, 143]);
    const same = backend.reshape(x, [143, 7]);
    const half = backend.empty('f16', [3, 5]);
    await backend.finish();
    expect(backend.memory()).toEqual({ bytes: before + 4004 + 30, peakBytes: before + 4004 + 30, weightBytes: 0 });
    x.dispose();
    await backend.finish();
    expect(backend.memory().bytes).toBe(before + 4004 + 30);
    same.dispose();
    half.dispose();
    await backend.finish();
    expect(backend.memory()).toEqual({ bytes: before, peakBytes: before + 4004 + 30, weightBytes: 0 });
  });

  it('sets memory aside when an op runs, not when it is queued', async () => {
    await backend.finish();
    const before = backend.memory().bytes;
    backend.resetPeak();
    let x = backend.upload(new Float32Array(MiB / 4), 'f32', [MiB / 4]);
    for (let step = 0; step < 100; step++) {
      const next = backend.map(x, 'neg');
      x.dispose();
      x = next;
    }
    x.dispose();
    await backend.finish();
    expect(backend.memory().bytes).toBe(before);
    // The upload brings its own; of the 100 results two live at a time.
    expect(backend.memory().peakBytes - before).toBe(2 * MiB);
  });

  it('returns large blocks to the system', async () => {
    const resident = () => process.memoryUsage.rss() / MiB;
    const tensors = Array.from({ length: 8 }, () => backend.empty('f32', [8 * MiB]));
    const filled = tensors.map((tensor) => backend.zip(tensor, 1, 'max'));
    await backend.finish();
    const full = resident();
    for (const tensor of [...tensors, ...filled]) tensor.dispose();
    await backend.finish();
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(full - resident()).toBeGreaterThan(200);
  });
});
