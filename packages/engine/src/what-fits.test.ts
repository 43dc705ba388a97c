import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type CpuBackendOptions, createCpuBackend } from '@kvsift/backend-cpu';
import { streamingLlm } from '@kvsift/policy-streaming-llm';
import { isKvsiftError, KvsiftError } from '@kvsift/tensor';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { load } from './load.js';
import type { SessionOptions } from './session-options.js';
import { type RandomModel, writeRandomModel } from './testing/random-model.js';
import { withWhatFits } from './what-fits.js';

const shape: RandomModel = {
  ...{ layers: 4, hidden: 64, intermediate: 128, queryHeads: 2, kvHeads: 2, vocabulary: 61, contextLength: 4096 },
};
const prompt = Int32Array.from({ length: 3000 }, (_, index) => (index * 17 + (index >> 5)) % 61);
let folder: string;
let path: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kvsift-fits-'));
  path = await writeRandomModel(join(folder, 'model'), shape);
});
afterAll(() => rm(folder, { recursive: true }));

async function withModel<T>(
  options: CpuBackendOptions,
  work: (model: Awaited<ReturnType<typeof load>>) => Promise<T>,
): Promise<T> {
  await using backend = createCpuBackend(options);
  using model = await load(path, { backend });
  return await work(model);
}

async function failure(
  model: Awaited<ReturnType<typeof load>>,
  tokens: Int32Array,
  options: SessionOptions,
): Promise<KvsiftError> {
  using session = model.session(options);
  const error = await session.prefill(tokens).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!isKvsiftError(error)) throw new Error(`expected a failure, got ${error}`);
  return error;
}

describe('a prompt that does not fit', () => {
  it.each<[string, SessionOptions]>([
    ['with nothing evicted', { kvType: 'f16' }],
    ['with streaming-llm at 50%', { kvType: 'f16', policy: streamingLlm(), budget: '50%' }],
  ])('says what would, and that does: %s', async (how, options) => {
    // Room that the whole prompt nearly has.
    const needed = await withModel({}, async (model) => {
      const { peak, weights } = model.estimate({ ...options, context: prompt.length });
      return model.decoder.backend.memory().bytes + (peak - weights) * 0.9;
    });
    await withModel({ memoryLimit: Math.round(needed) }, async (model) => {
      const error = await failure(model, prompt, options);
      expect(error.code).toBe('out_of_memory');
      expect(error.message).toContain(`reading 3,000 tokens ${how} takes about`);
      const { contextThatFits, shareThatFits } = error.details;
      if (typeof contextThatFits !== 'number' || typeof shareThatFits !== 'number') throw new Error('expected numbers');
      expect(contextThatFits).toBeGreaterThan(2000);
      expect(shareThatFits).toBeGreaterThan(5);
      {
        using shorter = model.session(options);
        await shorter.prefill(prompt.subarray(0, contextThatFits));
        expect(shorter.length).toBe(contextThatFits);
      }
      using smaller = model.session({ ...options, policy: streamingLlm(), budget: `${shareThatFits}%` });
      await smaller.prefill(prompt);
      expect(smaller.length).toBe(prompt.length);
    });
  });

  it('says that none would where there is no room at all', async () => {
    const used = await withModel({}, async (model) => model.decoder.backend.memory().bytes);
    await withModel({ memoryLimit: used + 2048 }, async (model) => {
      expect((await failure(model, prompt, {})).message).toContain('no prompt would fit');
    });
  });

  it('leaves other errors alone', () =>
    withModel({}, async (model) => {
      const attempt = { model: model.decoder, storage: { dtype: 'f16' }, options: {}, context: 1, before: 0 } as const;
      const other = new KvsiftError('aborted', 'stopped');
      expect(withWhatFits(other, attempt)).toBe(other);
      const unknown = new KvsiftError('out_of_memory', 'no room');
      expect(withWhatFits(unknown, attempt)).toBe(unknown);
    }));
});
