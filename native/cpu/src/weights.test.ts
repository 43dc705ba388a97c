import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { StoredTensor } from '@kvsift/tensor';
import { afterAll, describe, expect, it } from 'vitest';
import { createCpuBackend } from './index.js';

describe('load', () => {
  const folder = mkdtempSync(join(tmpdir(), 'kvsift-cpu-'));
  const path = join(folder, 'weights.bin');
  const values = Float32Array.from({ length: 64 * 32 }, (_, index) => Math.sin(index));
  writeFileSync(path, values);
  const backend = createCpuBackend({ threads: 2, compute: 'f32' });
  afterAll(async () => {
    await backend.dispose();
    rmSync(folder, { recursive: true });
  });
  const stored = (more: Partial<StoredTensor> = {}): StoredTensor => ({
    name: 'w',
    dtype: 'f32',
    shape: [64, 32],
    path,
    byteOffset: 0,
    byteLength: values.byteLength,
    ...more,
  });

  it('counts repacked weights, and not what stays mapped', async () => {
    await backend.finish();
    const before = backend.memory();
    const embedding = await backend.load(stored(), 'embedding');
    expect(backend.memory()).toMatchObject({ bytes: before.bytes, weightBytes: before.weightBytes });
    const matrix = await backend.load([stored(), stored()], 'linear');
    const { bytes, weightBytes } = backend.memory();
    expect(weightBytes - before.weightBytes).toBeGreaterThanOrEqual(2 * values.byteLength);
    expect(bytes - before.bytes).toBe(weightBytes - before.weightBytes);
    matrix.dispose();
    embedding.dispose();
    await backend.finish();
    expect(backend.memory()).toMatchObject({ bytes: before.bytes, weightBytes: before.weightBytes });
  });

  it('multiplies with any matrix, packed or not, with the same numbers', async () => {
    using packed = await backend.load(stored(), 'linear');
    using mapped = await backend.load(stored(), 'embedding');
    using plain = backend.upload(values, 'f32', [64, 32]);
    using x = backend.upload(values.subarray(0, 3 * 32), 'f32', [3, 32]);
    using bias = backend.upload(values.subarray(0, 64), 'f32', [64]);
    const results: number[][] = [];
    for (const weight of [packed, mapped, plain]) {
      using y = backend.linear(x, weight, { bias });
      results.push(Array.from(await y.read()));
    }
    for (const result of results) expect(result).toEqual(results[0]?.map((value) => expect.closeTo(value, 4)));
  });

  it('keeps rows of several sequences apart, to the bit, however many they are', async () => {
    const rows = 100;
    const inputs = 64;
    const outputs = 48;
    const blocks = new Uint8Array((outputs * inputs * 34) / 32).map((_, at) => [0, 0x2c][at % 34] ?? (at * 37) % 251);
    const file = join(folder, 'weights.q8_0');
    writeFileSync(file, blocks);
    const whole = stored({ dtype: 'q8_0', shape: [outputs, inputs], path: file, byteLength: blocks.length });
    await using fast = createCpuBackend({ threads: 2 });
    using weight = await fast.load(whole, 'linear');
    const x = Float32Array.from({ length: rows * inputs }, (_, at) => Math.cos(at));
    const product = async (first: number, count: number) => {
      using some = fast.upload(x.subarray(first * inputs, (first + count) * inputs), 'f32', [count, inputs]);
      using y = fast.linear(some, weight, { apart: true });
      return Array.from(await y.read());
    };
    const alone: number[] = [];
    for (let row = 0; row < rows; row++) alone.push(...(await product(row, 1)));
    expect(await product(0, rows)).toEqual(alone);
  });

  it('believes the file, not the header', async () => {
    const error = await backend.load(stored({ byteOffset: 4 }), 'linear').catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'file_malformed', details: { op: 'load' } });
    expect(String(error)).toContain(path);
    await expect(backend.load(stored({ path: folder }), 'linear')).rejects.toMatchObject({ code: 'file_unreadable' });
    await expect(backend.load(stored({ path: join(folder, 'missing') }), 'embedding')).rejects.toMatchObject({
      code: 'file_not_found',
    });
    // Whoever loaded knows already.
    await backend.finish();
  });

  it('sees a file that became shorter', async () => {
    const other = join(folder, 'shrinking.bin');
    writeFileSync(other, values);
    using first = await backend.load(stored({ path: other }), 'embedding');
    expect(first.shape).toEqual([64, 32]);
    truncateSync(other, 100);
    await expect(backend.load(stored({ path: other }), 'linear')).rejects.toMatchObject({ code: 'file_malformed' });
  });

  it('refuses to read or overwrite a weight', async () => {
    using weight = await backend.load(stored(), 'linear');
    await expect(weight.read()).rejects.toMatchObject({ code: 'unsupported' });
    expect(() => backend.write(weight, values)).toThrowError(expect.objectContaining({ code: 'invalid_argument' }));
    using exact = backend.dequantize(weight);
    expect(await exact.read()).toEqual(values);
  });
});
