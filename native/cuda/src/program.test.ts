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

  it('keeps what its copies read on the host, as the rules of a draw', async () => {
    await using backend = createCudaBackend({ emulated: true });
    using logits = backend.upload(
      Float32Array.from({ length: 64 }, (_, token) => Math.sin(token)),
      'f32',
      [1, 64],
    );
    const rule = { temperature: 0.8, topK: 40, topP: 0.95, minP: 0, uniform: 0.6180339 };
    using once = backend.sample(logits, [rule]).ids;
    const [expected] = await once.read();
    const made: { ids?: ReturnType<typeof backend.map> } = {};
    using program = backend.record?.(() => {
      made.ids = backend.sample(logits, [rule]).ids;
    });
    for (let run = 0; run < 4; run++) {
      program?.run();
      // Host memory that nobody keeps is somebody else's by now.
      for (let other = 0; other < 20; other++) backend.upload(new Float32Array(8).fill(NaN), 'f32', [8]).dispose();
      expect(Array.from((await made.ids?.read()) ?? [])).toEqual([expected]);
    }
    made.ids?.dispose();
  });

  it('does not take what came before for failed where its capture lacks memory', async () => {
    const MiB = 2 ** 20;
    await using backend = createCudaBackend({ emulated: true, memoryLimit: 9.5 * MiB });
    // Op by op one result is gone before the next is made; a graph keeps blocks of both sizes.
    using large = backend.upload(new Float32Array((3 * MiB) / 4).fill(1), 'f32', [(3 * MiB) / 4]);
    using small = backend.upload(new Float32Array((1.5 * MiB) / 4).fill(2), 'f32', [(1.5 * MiB) / 4]);
    using kept = backend.upload(new Float32Array(2), 'f32', [2]);
    using program = backend.record?.(() => {
      for (const [row, x] of [large, small].entries()) {
        using squares = backend.map(x, 'square');
        using sum = backend.reduce(squares, 0, 'sum');
        using own = backend.reshape(sum, [1]);
        backend.writeRows(kept, row, own);
      }
    });
    for (let run = 0; run < 3; run++) {
      backend.write(kept, new Float32Array(2));
      program?.run();
      expect(await kept.read()).toEqual(Float32Array.of((3 * MiB) / 4, 1.5 * MiB));
    }
    await backend.finish();
  });

  it('is not made of what has failed', async () => {
    await using backend = createCudaBackend({ emulated: true, memoryLimit: 2 ** 20 });
    using x = backend.upload(Float32Array.of(1, 2), 'f32', [2]);
    const made: { out?: ReturnType<typeof backend.map> } = {};
    using program = backend.record?.(() => {
      made.out = backend.map(x, 'neg');
    });
    program?.run();
    {
      using larger = backend.empty('f32', [2 ** 20]);
      using part = backend.slice(larger, 0, 0, 2);
      backend.write(x, part);
    }
    program?.run();
    await expect(made.out?.read()).rejects.toMatchObject({ code: 'out_of_memory' });
    await expect(backend.finish()).rejects.toMatchObject({ code: 'out_of_memory' });
    for (const value of [3, 4, 5]) {
      backend.write(x, Float32Array.of(value, -value));
      program?.run();
      expect(await made.out?.read()).toEqual(Float32Array.of(-value, value));
    }
    await backend.finish();
    made.out?.dispose();
  });

  it('keeps what it reads on the host until the device has passed it, also where the program is disposed before', async () => {
    await using backend = createCudaBackend({ emulated: true });
    using logits = backend.upload(new Float32Array(64), 'f32', [1, 64]);
    using slow = backend.upload(new Float32Array(2 ** 16), 'f32', [2 ** 16]);
    const rule = { temperature: 1, topK: 0, topP: 1, minP: 0, uniform: 0.6180339 };
    const made: { ids?: ReturnType<typeof backend.map> } = {};
    const program = backend.record?.(() => {
      for (let time = 0; time < 4; time++) backend.map(slow, 'exp').dispose();
      made.ids = backend.sample(logits, [rule]).ids;
    });
    program?.run();
    program?.run();
    const before = await made.ids?.read();
    program?.run();
    program?.dispose();
    await new Promise((resolve) => setTimeout(resolve, 20));
    for (let other = 0; other < 20; other++) backend.upload(new Float32Array(8).fill(NaN), 'f32', [8]).dispose();
    expect(await made.ids?.read()).toEqual(before);
    made.ids?.dispose();
  });

  it('shares the memory in which it works with other graphs, and not with their results', async () => {
    await using backend = createCudaBackend({ emulated: true });
    using x = backend.upload(new Float32Array(1000).fill(2), 'f32', [1000]);
    const record = (factor: number) => {
      const made: { out?: ReturnType<typeof backend.map> } = {};
      const program = backend.record?.(() => {
        using a = backend.zip(x, factor, 'mul');
        using b = backend.map(a, 'square');
        using c = backend.zip(a, b, 'add');
        made.out = backend.map(c, 'neg');
      });
      return { program, made, expected: new Float32Array(1000).fill(-(2 * factor + (2 * factor) ** 2)) };
    };
    const graphs = [1, 2, 3].map(record);
    for (let run = 0; run < 3; run++) for (const { program } of graphs) program?.run();
    for (const { made, expected } of graphs) expect(await made.out?.read()).toEqual(expected);
    const [first, ...others] = graphs;
    first?.made.out?.dispose();
    first?.program?.dispose();
    graphs.push(record(5));
    for (let run = 0; run < 3; run++) graphs.at(-1)?.program?.run();
    for (const { made, expected } of [...others, ...graphs.slice(-1)]) expect(await made.out?.read()).toEqual(expected);
    for (const { program, made } of graphs) {
      made.out?.dispose();
      program?.dispose();
    }
  });

  it('does not hold what lies between the products of a feed-forward block', async () => {
    await using backend = createCudaBackend({ emulated: true });
    using x = backend.upload(new Float32Array(32).fill(1), 'f32', [1, 32]);
    using norm = backend.upload(new Float32Array(32).fill(1), 'f32', [32]);
    using gateUp = backend.upload(new Float32Array(2048 * 32).fill(0.5), 'f32', [2048, 32]);
    using down = backend.upload(new Float32Array(1024 * 1024).fill(0.5), 'f32', [1024, 1024]);
    const made: { out?: ReturnType<typeof backend.map> } = {};
    using program = backend.record?.(() => {
      made.out = backend.feedForward(x, { norm, gateUp, down }, { epsilon: 1e-5, activation: 'silu' });
    });
    await backend.finish();
    const before = backend.memory().bytes;
    for (let run = 0; run < 3; run++) {
      program?.run();
      await backend.finish();
      expect(backend.memory().bytes - before).toBe(4096);
    }
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
