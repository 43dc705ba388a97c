import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createCpuBackend } from '@kvsift/backend-cpu';
import { AddonBackend, SplitBackend } from '@kvsift/native-addon';
import type { Backend } from '@kvsift/tensor';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { generateBatch } from './batch.js';
import type { LanguageModel } from './language-model.js';
import { load } from './load.js';
import type { SessionOptions } from './session-options.js';
import { expressions, names, registry } from './testing/policy-expressions.js';
import { writeRandomModel } from './testing/random-model.js';

const one = createCpuBackend({ threads: 1, compute: 'f32' });
const parts = [1, 2].map(() => {
  const part = createCpuBackend({ threads: 1, compute: 'f32' });
  if (!(part instanceof AddonBackend)) throw new Error('not a backend of the addon');
  return part;
});
const two: Backend = SplitBackend.over(parts, [1, 2], { name: 'cpu', description: 'two parts', threads: 2, compute: 'f32' });
const prompt = Int32Array.from({ length: 48 }, (_, index) => (index * 17 + 5) % 60);
const budget = 16;
let folder: string;
let whole: LanguageModel;
let split: LanguageModel;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kvsift-split-'));
  const path = await writeRandomModel(join(folder, 'model'));
  whole = await load(path, { backend: one });
  split = await load(path, { backend: two });
});
afterAll(async () => {
  await Promise.all([one.dispose(), two.dispose()]);
  await rm(folder, { recursive: true });
});

async function answer(model: LanguageModel, options: SessionOptions): Promise<number[]> {
  const ids: number[] = [];
  for await (const { id } of model.generate(prompt, { ...options, maxTokens: 8, ignoreEos: true })) ids.push(id);
  return ids;
}

describe('layers spread over two devices', () => {
  it('lie there with their caches', async () => {
    const [first, second] = parts.map((part) => part.memory().weightBytes);
    expect(first).toBeGreaterThan(0);
    expect(second).toBeGreaterThan(first ?? 0);
    await two.finish();
    const before = parts.map((part) => part.memory().bytes);
    using session = split.session();
    await session.prefill(prompt);
    const held = parts.map((part, index) => part.memory().bytes - (before[index] ?? 0));
    // One layer and two.
    const { bytes } = session.statistics();
    expect(held[0]).toBeGreaterThanOrEqual(bytes / 3);
    expect(held[0]).toBeLessThan(bytes / 2);
    expect(held[1]).toBeGreaterThanOrEqual((2 * bytes) / 3);
  });

  it.each(names)('%s: the same answer as on one device', async (name) => {
    const policy = registry.parse(expressions[name] ?? name);
    expect(await answer(split, { policy, budget })).toEqual(await answer(whole, { policy, budget }));
  });

  it('forks, second turns and saved sessions go on alike', async () => {
    const options = { policy: registry.parse('decoding(h2o(window=4), interval=2)'), budget };
    const path = join(folder, 'session.safetensors');
    const results = [];
    for (const model of [whole, split]) {
      using session = model.session(options);
      await session.prefill(prompt);
      await session.force(3);
      using twin = session.fork();
      await session.prefill([4, 9, 1]);
      await session.save(path);
      using restored = await model.restore(path, options);
      results.push([await session.force(5), await twin.force(5), await restored.force(5)]);
    }
    expect(results[1]).toEqual(results[0]);
  });

  it('answers a batch alike', async () => {
    const results = [];
    for (const model of [whole, split]) {
      const sessions = ['snapkv(window=4)', 'adakv(snapkv(window=4))'].map((policy) =>
        model.session({ policy: registry.parse(policy), budget }),
      );
      for (const [index, session] of sessions.entries()) await session.prefill(prompt.subarray(index));
      const ids: number[] = [];
      for await (const { id, session } of generateBatch(model.decoder, sessions, { maxTokens: 5, ignoreEos: true }))
        ids.push(session, id);
      for (const session of sessions) session.dispose();
      results.push(ids);
    }
    expect(results[0]).toHaveLength(20);
    expect(results[1]).toEqual(results[0]);
  });

  it('leaves out what would fit where a device is full: that depends on the layers that lie there', async () => {
    const small = [1, 2].map(() => {
      const part = createCpuBackend({ threads: 1, compute: 'f32', memoryLimit: 256 * 1024 });
      if (!(part instanceof AddonBackend)) throw new Error('not a backend of the addon');
      return part;
    });
    const info = { name: 'cpu', description: 'two small parts', threads: 2, compute: 'f32' } as const;
    await using backend = SplitBackend.over(small, [1, 1], info);
    using model = await load(join(folder, 'model'), { backend });
    using session = model.session();
    const error: unknown = await session
      .prefill(Int32Array.from({ length: 250 }, (_, at) => at % 60))
      .catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'out_of_memory', message: expect.not.stringContaining('would fit') });
  });

  it('hands over memory that is all given back', async () => {
    await two.finish();
    const before = two.memory().bytes;
    await answer(split, { policy: registry.parse('adakv(snapkv(window=4))'), budget });
    await two.finish();
    expect(two.memory().bytes).toBe(before);
  });
});
