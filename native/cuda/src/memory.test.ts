import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { createCudaBackend } from './index.js';

const MiB = 2 ** 20;

describe('out of memory', () => {
  const lack = async (work: Promise<unknown>) => {
    const error: unknown = await work.catch((reason: unknown) => reason);
    return error as { code: string; details: Record<string, unknown> };
  };

  it('tells what was wanted and what tensors hold, without what could not be made', async () => {
    await using backend = createCudaBackend({ emulated: true });
    using held = backend.empty('f32', [MiB]);
    using larger = backend.empty('f32', [1024 * MiB]);
    const { code, details } = await lack(larger.read());
    expect(code).toBe('out_of_memory');
    expect(details).toMatchObject({ wantedBytes: 4096 * MiB, availableBytes: 2044 * MiB, heldBytes: 4 * MiB });
    await expect(backend.finish()).rejects.toMatchObject({ code: 'out_of_memory' });
    expect(held.shape).toEqual([MiB]);
  });

  it('tells that of the scratch memory of ops too', async () => {
    await using backend = createCudaBackend({ emulated: true, memoryLimit: 3 * MiB });
    using rows = backend.empty('f32', [512, 1024]);
    const { mean, covariance } = backend.covariance(rows, { heads: 128 });
    const { code, details } = await lack(mean.read());
    expect(code).toBe('out_of_memory');
    // The rows, and the results that were set aside before.
    const heldBytes = 4 * (512 * 1024 + 1024 + 1024 * 8);
    expect(details).toMatchObject({ op: 'covariance', wantedBytes: 2 * MiB, heldBytes });
    await expect(backend.finish()).rejects.toMatchObject({ code: 'out_of_memory' });
    for (const tensor of [mean, covariance]) tensor.dispose();
  });
});

describe('memory', () => {
  const backend = createCudaBackend({ emulated: true });
  afterAll(() => backend.dispose());

  it('counts exactly, in stream order, and has two of a hundred results at a time', async () => {
    await backend.finish();
    const before = backend.memory().bytes;
    backend.resetPeak();
    let x = backend.upload(new Float32Array(1024), 'f32', [1024]);
    for (let step = 0; step < 100; step++) {
      const next = backend.map(x, 'neg');
      x.dispose();
      x = next;
    }
    x.dispose();
    await backend.finish();
    expect(backend.memory().bytes).toBe(before);
    expect(backend.memory().peakBytes - before).toBe(8192);
  });

  it('holds what a block makes for itself to its turn only, whichever thread is ahead', async () => {
    const [rows, hidden, inner] = [16, 64, 128];
    const ones = (...shape: number[]) => backend.upload(new Float32Array(shape.reduce((a, b) => a * b)).fill(1), 'f32', shape);
    using x = ones(rows, hidden);
    using norm = ones(hidden);
    using gateUp = ones(2 * inner, hidden);
    using down = ones(hidden, inner);
    const peaks = new Set<number>();
    // Each round finds the stream idle: it begins with the first product while the caller still prepares the last.
    for (let round = 0; round < 40; round++) {
      await backend.finish();
      const before = backend.memory().bytes;
      backend.resetPeak();
      backend.feedForward(x, { norm, gateUp, down }, { epsilon: 1e-5, activation: 'silu', residual: x }).dispose();
      await backend.finish();
      peaks.add(backend.memory().peakBytes - before);
    }
    // Both halves and their product; the norm is gone by then, the result not yet there.
    expect([...peaks]).toEqual([4 * rows * 3 * inner]);
  });

  it('brings weights up whole, in pieces and in another order, and counts them', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'kvsift-cuda-'));
    try {
      // Larger than all the buffers on the way together, and no multiple of one.
      const [rows, columns] = [3501, 1001];
      const values = Float32Array.from({ length: rows * columns }, (_, index) => (index % 65537) / 7);
      const path = join(folder, 'weights.bin');
      writeFileSync(path, values);
      const stored = {
        name: 'w',
        dtype: 'f32',
        shape: [rows, columns],
        path,
        byteOffset: 0,
        byteLength: values.byteLength,
      } as const;
      const before = backend.memory();
      const rowOrder = Int32Array.from({ length: rows }, (_, row) => rows - 1 - row);
      const weight = await backend.load([stored, { ...stored, rowOrder }], 'linear');
      expect(backend.memory().weightBytes - before.weightBytes).toBe(2 * values.byteLength);
      using whole = backend.dequantize(weight);
      const read = (await whole.read()) as Float32Array;
      expect(Buffer.from(read.buffer, 0, values.byteLength).equals(Buffer.from(values.buffer))).toBe(true);
      for (const row of [0, 1, 1750, rows - 1]) {
        const at = (rows + row) * columns;
        expect(read.subarray(at, at + columns)).toEqual(values.subarray((rows - 1 - row) * columns, (rows - row) * columns));
      }
      weight.dispose();
      await backend.finish();
      expect(backend.memory().weightBytes).toBe(before.weightBytes);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('goes on after a weight that does not fit, and gives its memory back', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'kvsift-cuda-'));
    await using small = createCudaBackend({ emulated: true, memoryLimit: MiB });
    try {
      const path = join(folder, 'weights.bin');
      writeFileSync(path, new Float32Array(MiB / 2));
      const stored = { name: 'w', dtype: 'f32', shape: [512, 1024], path, byteOffset: 0, byteLength: 2 * MiB } as const;
      await expect(small.load(stored, 'linear')).rejects.toMatchObject({ code: 'out_of_memory' });
      await small.finish();
      expect(small.memory()).toMatchObject({ bytes: 0, weightBytes: 0 });
      using weight = await small.load({ ...stored, shape: [128, 1024], byteLength: MiB / 2 }, 'linear');
      expect(weight.shape).toEqual([128, 1024]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
