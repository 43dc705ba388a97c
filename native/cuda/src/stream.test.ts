import { failure, streamSuite } from '@kvsift/backend-testkit';
import { describe, expect, it } from 'vitest';
import { createCudaBackend } from './index.js';

streamSuite('cuda, emulated', (options) => createCudaBackend({ emulated: true, ...options }));

const emulated = { emulated: true } as const;

describe('faults that only the device knows', () => {
  it('stay with the op that has them, however many ops wait', async () => {
    await using backend = createCudaBackend(emulated);
    using table = backend.upload(Float32Array.of(1, 2, 3), 'f32', [3, 1]);
    using good = backend.upload(Int32Array.of(2), 'i32', [1]);
    using bad = backend.upload(Int32Array.of(5), 'i32', [1]);
    const rows = [good, bad, good, bad, good].map((ids) => backend.embedding(table, ids));
    const results = await Promise.allSettled(rows.map((row) => row.read()));
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'rejected', 'fulfilled']);
    expect(await failure(backend.finish())).toMatchObject({ code: 'invalid_argument', details: { op: 'embedding' } });
    await backend.finish();
    // Settled checks are forgotten: a tensor that comes from good ones only can be read for ever.
    using doubled = backend.zip(rows[0] ?? table, 2, 'mul');
    expect(await doubled.read()).toEqual(Float32Array.of(6));
  });

  it('reports the first of a failure of the host and one of the device', async () => {
    await using backend = createCudaBackend({ ...emulated, memoryLimit: 2 ** 20 });
    using table = backend.upload(Float32Array.of(1), 'f32', [1, 1]);
    using bad = backend.upload(Int32Array.of(5), 'i32', [1]);
    using row = backend.embedding(table, bad);
    using large = backend.empty('f32', [2 ** 20]);
    expect(await failure(backend.finish())).toMatchObject({ details: { op: 'embedding' } });
    using larger = backend.empty('f32', [2 ** 20]);
    using again = backend.embedding(table, bad);
    expect(await failure(backend.finish())).toMatchObject({ code: 'out_of_memory', details: { op: 'empty' } });
    for (const tensor of [row, large, larger, again]) expect(await failure(tensor.read())).toBeInstanceOf(Error);
  });

  it('survive ten thousand ops without a wait', async () => {
    await using backend = createCudaBackend(emulated);
    using table = backend.upload(Float32Array.of(1, 2), 'f32', [2, 1]);
    using ids = backend.upload(Int32Array.of(1), 'i32', [1]);
    for (let step = 0; step < 10_000; step++) backend.embedding(table, ids).dispose();
    await backend.finish();
    using last = backend.embedding(table, ids);
    expect(await last.read()).toEqual(Float32Array.of(2));
  });
});

describe('out of memory', () => {
  it('says how much was wanted and how much was free, and goes on', async () => {
    await using backend = createCudaBackend({ ...emulated, memoryLimit: 3 * 2 ** 20 });
    using held = backend.empty('f32', [2 ** 18]);
    using large = backend.empty('f32', [2 ** 20]);
    const error = await failure(large.read());
    expect(error).toMatchObject({
      code: 'out_of_memory',
      details: { op: 'empty', wantedBytes: 4 * 2 ** 20, availableBytes: 2 * 2 ** 20 },
    });
    expect(error.message).toMatch(/4\.00 MiB are wanted, 2\.00 MiB are free/);
    await failure(backend.finish());
    using fits = backend.zip(held, 1, 'add');
    await fits.read();
  });
});

describe('dispose', () => {
  it('ends with work in the queue, and refuses what comes later', async () => {
    const backend = createCudaBackend(emulated);
    const x = backend.upload(new Float32Array(32 * 32), 'f32', [32, 32]);
    let last = x;
    for (let step = 0; step < 20; step++) last = backend.matmul(last, x);
    // Whether the device came this far or not is a race; that somebody answers is none.
    const read = last.read().then(
      () => 'read',
      (error: unknown) => error,
    );
    await backend.dispose();
    const answer = await read;
    if (answer !== 'read') expect(answer).toMatchObject({ code: 'disposed' });
    expect(() => backend.map(last, 'exp')).toThrowError(expect.objectContaining({ code: 'disposed' }));
    expect(await failure(backend.finish())).toMatchObject({ code: 'disposed' });
  });
});

describe('createCudaBackend', () => {
  it('refuses a device that is not there', () => {
    expect(() => createCudaBackend({ ...emulated, device: 3 })).toThrowError(
      expect.objectContaining({ code: 'backend_unavailable', message: expect.stringContaining('device 3') }),
    );
    expect(() => createCudaBackend({ ...emulated, device: -1 })).toThrowError(
      expect.objectContaining({ code: 'invalid_argument' }),
    );
  });

  it('says where it looked for its native part, and what to run', () => {
    const make = () => createCudaBackend({ addon: '/nowhere/kvsift-cuda.node' });
    expect(make).toThrowError(expect.objectContaining({ code: 'backend_unavailable' }));
    expect(make).toThrowError(/\/nowhere\/kvsift-cuda\.node[\s\S]*npm install[\s\S]*npm run build:cuda/);
  });

  it('never takes the emulated device by itself', () => {
    let name = 'a GPU';
    try {
      const backend = createCudaBackend();
      name = backend.info.description;
      void backend.dispose();
    } catch (error) {
      expect(error).toMatchObject({ code: 'backend_unavailable' });
    }
    expect(name).not.toContain('host');
  });
});
