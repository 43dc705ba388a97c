import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createReferenceBackend } from '@kvsift/backend-reference';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { load } from './load.js';
import { smallModel, writeRandomModel } from './testing/random-model.js';

let folder: string;
beforeAll(async () => {
  folder = await writeRandomModel(await mkdtemp(join(tmpdir(), 'kvsift-load-')), smallModel);
});
afterAll(() => rm(folder, { recursive: true }));

describe('load', () => {
  it('stops where it is aborted and leaves nothing behind', async () => {
    const backend = createReferenceBackend();
    const controller = new AbortController();
    const layers: number[] = [];
    const onProgress = (done: number) => {
      layers.push(done);
      controller.abort();
    };
    await expect(load(folder, { backend, signal: controller.signal, onProgress })).rejects.toMatchObject({ code: 'aborted' });
    expect(layers).toEqual([1]);
    expect(backend.memory().bytes).toBe(0);
  });

  it('says what is wrong with a tokenizer, stops loading and leaves nothing behind', async () => {
    const broken = await mkdtemp(join(tmpdir(), 'kvsift-load-'));
    try {
      await cp(folder, broken, { recursive: true });
      await writeFile(join(broken, 'tokenizer.json'), '{');
      const backend = createReferenceBackend();
      await expect(load(broken, { backend })).rejects.toMatchObject({ code: 'tokenizer_invalid' });
      expect(backend.memory().bytes).toBe(0);
    } finally {
      await rm(broken, { recursive: true });
    }
  });

  it('reads nothing under a signal that has fired', async () => {
    const backend = createReferenceBackend();
    const signal = AbortSignal.abort();
    await expect(load(join(folder, 'missing'), { backend, signal })).rejects.toMatchObject({ code: 'aborted' });
  });
});
