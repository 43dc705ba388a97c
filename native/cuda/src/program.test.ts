import { programSuite } from '@kvsift/backend-testkit';
import { describe, expect, it } from 'vitest';
import { createCudaBackend } from './index.js';

programSuite('cuda, emulated', (options) => createCudaBackend({ emulated: true, ...options }));

describe('a captured graph', () => {
  it('counts the memory that it needs while it runs, run by run', async () => {
    await using backend = createCudaBackend({ emulated: true });
    using x = backend.upload(new Float32Array(1024).fill(2), 'f32', [1024]);
    const made: { out?: ReturnType<typeof backend.map> } = {};
    using program = backend.record?.(() => {
      using a = backend.map(x, 'square');
      using b = backend.map(a, 'sqrt');
      made.out = backend.zip(a, b, 'add');
    });
    for (let run = 0; run < 4; run++) {
      program?.run();
      await backend.finish();
      const before = backend.memory().bytes;
      backend.resetPeak();
      program?.run();
      await backend.finish();
      expect(backend.memory()).toMatchObject({ bytes: before, peakBytes: before + 8192 });
    }
    expect(await made.out?.read()).toEqual(new Float32Array(1024).fill(6));
    made.out?.dispose();
  });

  it('is made when there is memory for it, and runs op by op until then', async () => {
    await using backend = createCudaBackend({ emulated: true, memoryLimit: 2 ** 20 });
    using x = backend.upload(new Float32Array(2 ** 16).fill(3), 'f32', [2 ** 16]);
    const made: { out?: ReturnType<typeof backend.map> } = {};
    using program = backend.record?.(() => {
      using a = backend.map(x, 'square');
      made.out = backend.reduce(a, 0, 'sum');
    });
    program?.run();
    const greedy = backend.empty('f32', [2 ** 17 + 2 ** 15]);
    await backend.finish();
    program?.run();
    await expect(made.out?.read()).rejects.toMatchObject({ code: 'out_of_memory', details: { op: 'map' } });
    await expect(backend.finish()).rejects.toMatchObject({ code: 'out_of_memory' });
    greedy.dispose();
    for (let run = 0; run < 3; run++) {
      program?.run();
      expect(await made.out?.read()).toEqual(Float32Array.of(9 * 2 ** 16));
    }
    await backend.finish();
    made.out?.dispose();
  });

  it('tells each run from the others where only the device knows of a failure', async () => {
    await using backend = createCudaBackend({ emulated: true });
    using table = backend.upload(Float32Array.of(1, 2, 3), 'f32', [3, 1]);
    using ids = backend.upload(Int32Array.of(0), 'i32', [1]);
    const made: { out?: ReturnType<typeof backend.map> } = {};
    using program = backend.record?.(() => {
      made.out = backend.embedding(table, ids);
    });
    const seen: Promise<string>[] = [];
    for (const id of [1, 2, 7, 0, 9, 1]) {
      backend.write(ids, Int32Array.of(id));
      program?.run();
      seen.push((made.out?.read() ?? Promise.reject(new Error('nothing'))).then(String, () => 'failed'));
    }
    expect(await Promise.all(seen)).toEqual(['2', '3', 'failed', '1', 'failed', '2']);
    await expect(backend.finish()).rejects.toMatchObject({ details: { op: 'embedding' } });
    await backend.finish();
    made.out?.dispose();
  });
});
