import { failure, streamSuite } from '@kvsift/backend-testkit';
import { describe, expect, it } from 'vitest';
import { createCpuBackend } from './index.js';

streamSuite('cpu', (options) => createCpuBackend({ threads: 2, ...options }));

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
