import { isKvsiftError } from '@kvsift/tensor';
import { describe, expect, it } from 'vitest';
import { backendOptions, createBackend } from './backends.js';

describe('--backend cuda', () => {
  it('says what is missing and what to do where there is no GPU', async () => {
    const error: unknown = await createBackend({ backend: 'cuda' }).then(
      (backend) => backend.dispose(),
      (reason: unknown) => reason,
    );
    if (error === undefined) return; // This machine has a GPU.
    if (!isKvsiftError(error)) throw error;
    expect(error.code).toBe('backend_unavailable');
    // What is to be done depends on what is missing: the addon, the driver, a newer driver, a GPU.
    expect(error.message).toMatch(/npm run build:cuda|--backend cpu/);
  });

  it('runs the same ops on the emulated device, which must be asked for', async () => {
    await using backend = await createBackend({ backend: 'cuda', device: { numbers: [0], emulated: true } });
    expect(backend.info).toMatchObject({ name: 'cuda', compute: 'bf16' });
    using x = backend.upload(Float32Array.of(1, 2, 3), 'f32', [3]);
    using sum = backend.reduce(x, 0, 'sum');
    expect(await sum.read()).toEqual(Float32Array.of(6));
  });

  it('spreads a model over several', async () => {
    await using backend = await createBackend({ backend: 'cuda', device: { numbers: [0, 0], emulated: true } });
    expect(backend.place?.(0)).not.toBe(backend.place?.(0.9));
  });

  it('takes numbers as the device, and nothing else', () => {
    const device = backendOptions().find(({ long }) => long === '--device');
    expect(device?.parseArg?.('2', undefined)).toEqual({ numbers: [2], emulated: false });
    expect(device?.parseArg?.('1,0', undefined)).toEqual({ numbers: [1, 0], emulated: false });
    expect(device?.parseArg?.('emulated', undefined)).toEqual({ numbers: [0], emulated: true });
    for (const text of ['-1', '0x1', 'gpu', '', '0,', '0,emulated']) {
      expect(() => device?.parseArg?.(text, undefined)).toThrowError(expect.objectContaining({ code: 'invalid_argument' }));
    }
  });
});
