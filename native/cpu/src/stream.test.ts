import { KvsiftError } from '@kvsift/tensor';
import { afterAll, describe, expect, it } from 'vitest';
import { createCpuBackend } from './index.js';

const failure = async (promise: Promise<unknown>): Promise<KvsiftError> => {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof KvsiftError) return error;
  throw new Error(`expected a KvsiftError, not ${String(error)}`);
};

describe('stream', () => {
  const backend = createCpuBackend({ threads: 2, memoryLimit: 64 * 2 ** 20 });
  afterAll(() => backend.dispose());

  it('names the op that failed wherever its results are read, once in finish, and goes on', async () => {
    using table = backend.upload(new Float32Array(8), 'f32', [4, 2]);
    using ids = backend.upload(Int32Array.of(1, 4), 'i32', [2]);
    using rows = backend.embedding(table, ids);
    using sums = backend.reduce(rows, 1, 'sum');
    const first = await failure(sums.read());
    expect(first).toMatchObject({ code: 'invalid_argument', details: { op: 'embedding' } });
    expect(first.message).toContain('4');
    expect(await failure(rows.read())).toMatchObject({ details: { op: 'embedding' } });
    expect(await failure(backend.finish())).toMatchObject({ details: { op: 'embedding' } });
    await backend.finish();
    using squares = backend.map(table, 'square');
    expect(await squares.read()).toEqual(new Float32Array(8));
  });

  it('survives an op that needs more memory than there is', async () => {
    await backend.finish();
    const before = backend.memory().bytes;
    const large = backend.empty('f32', [2 ** 25]);
    using small = backend.reduce(large, 0, 'sum');
    expect(await failure(small.read())).toMatchObject({ code: 'out_of_memory', details: { op: 'empty' } });
    expect(await failure(backend.finish())).toMatchObject({ code: 'out_of_memory' });
    large.dispose();
    small.dispose();
    await backend.finish();
    expect(backend.memory().bytes).toBe(before);
    using fits = backend.empty('f32', [2 ** 20]);
    await fits.read();
  });

  it('gives a written tensor its contents back after a failure', async () => {
    using broken = backend.empty('f32', [2 ** 25]);
    using row = backend.slice(broken, 0, 0, 2);
    await failure(row.read());
    await failure(backend.finish());
    backend.write(row, Float32Array.of(1, 2));
    expect(await row.read()).toEqual(Float32Array.of(1, 2));
  });

  it('keeps the order of writes and reads', async () => {
    using x = backend.upload(Float32Array.of(0), 'f32', [1]);
    const seen: Promise<unknown>[] = [];
    for (let step = 1; step <= 20; step++) {
      backend.write(x, Float32Array.of(step));
      seen.push(x.read());
    }
    expect(await Promise.all(seen)).toEqual(Array.from({ length: 20 }, (_, step) => Float32Array.of(step + 1)));
  });

  it('runs cache ops that point outside their memory into an error', async () => {
    const upload = (...values: number[]) => backend.upload(Int32Array.from(values), 'i32', [values.length]);
    using keys = backend.empty('f32', [4, 2]);
    using values = backend.empty('f32', [4, 2]);
    using lengths = upload(3);
    using starts = upload(2);
    using rows = backend.upload(new Float32Array(2), 'f32', [1, 2]);
    using positions = upload(0);
    const view = { dtype: 'f32', kvHeads: 1, headDim: 2, keys, values, lengths, starts, maxLength: 3, uniform: true } as const;
    using outside = backend.kvRead(view, 'keys');
    expect(await failure(outside.read())).toMatchObject({ code: 'invalid_argument', details: { op: 'kvRead' } });
    await failure(backend.finish());
    backend.write(starts, Int32Array.of(1));
    using inside = backend.kvRead(view, 'keys');
    await inside.read();
    backend.kvAppend([{ view, rows: 1 }], rows, rows, positions);
    expect(await failure(backend.finish())).toMatchObject({ code: 'invalid_argument', details: { op: 'kvAppend' } });
  });
});

describe('dispose', () => {
  it('ends what is queued and refuses the rest', async () => {
    const backend = createCpuBackend({ threads: 1 });
    const x = backend.upload(new Float32Array(512 * 512), 'f32', [512, 512]);
    let last = x;
    for (let step = 0; step < 50; step++) last = backend.matmul(last, x);
    const read = failure(last.read());
    const done = backend.dispose();
    expect(await read).toMatchObject({ code: 'disposed' });
    await done;
    await backend.dispose();
    expect(x.alive).toBe(false);
    x.dispose();
    expect(() => backend.map(last, 'exp')).toThrowError(expect.objectContaining({ code: 'disposed' }));
    expect(() => backend.empty('f32', [1])).toThrowError(expect.objectContaining({ code: 'disposed' }));
    expect(await failure(backend.finish())).toMatchObject({ code: 'disposed' });
    expect(await failure(x.read())).toMatchObject({ code: 'disposed' });
  });

  it('keeps tensors of two backends apart', async () => {
    await using one = createCpuBackend({ threads: 1 });
    await using other = createCpuBackend({ threads: 1 });
    const x = one.upload(Float32Array.of(1), 'f32', [1]);
    expect(() => other.map(x, 'exp')).toThrowError(expect.objectContaining({ code: 'invalid_argument' }));
  });
});

describe('createCpuBackend', () => {
  it('refuses options that cannot be', () => {
    expect(() => createCpuBackend({ threads: -1 })).toThrowError(expect.objectContaining({ code: 'invalid_argument' }));
    expect(() => createCpuBackend({ isa: 'sse9' as 'avx2' })).toThrowError(expect.objectContaining({ code: 'invalid_argument' }));
    expect(() => createCpuBackend({ compute: 'f64' as 'f32' })).toThrowError(
      expect.objectContaining({ code: 'invalid_argument' }),
    );
  });

  it('says where it looked for its native part, and what to run', () => {
    const make = () => createCpuBackend({ addon: '/nowhere/kvsift-cpu.node' });
    expect(make).toThrowError(expect.objectContaining({ code: 'backend_unavailable' }));
    expect(make).toThrowError(/\/nowhere\/kvsift-cpu\.node[\s\S]*npm install/);
  });
});
