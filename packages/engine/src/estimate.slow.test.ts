import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createCpuBackend } from '@kvsift/backend-cpu';
import { allPolicies } from '@kvsift/policies';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { load } from './load.js';
import { type RandomModel, writeRandomModel } from './testing/random-model.js';

const registry = allPolicies();
const common = { vocabulary: 61, contextLength: 8192 };
const shapes: Readonly<Record<string, RandomModel>> = {
  'grouped heads': { ...common, layers: 3, hidden: 256, intermediate: 512, queryHeads: 8, kvHeads: 2 },
  'a KV head per query head': { ...common, layers: 2, hidden: 256, intermediate: 768, queryHeads: 4, kvHeads: 4 },
  'many layers': { ...common, layers: 6, hidden: 128, intermediate: 256, queryHeads: 2, kvHeads: 1 },
  'a sliding window': { ...common, layers: 3, hidden: 256, intermediate: 512, queryHeads: 4, kvHeads: 2, window: 512 },
};
/** Policies whose scores are as small as their layer's row of probabilities; those that read keys or queries as numbers need room for these too. */
const policies = [
  'full',
  'streaming-llm',
  'random',
  'snapkv',
  'adakv(snapkv)',
  'pyramidkv(snapkv)',
  'chunkkv(snapkv)',
  'tova',
  'nacl',
  'h2o',
];
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kvsift-estimate-'));
});
afterAll(() => rm(folder, { recursive: true }));

describe('estimated memory beside the weights', () => {
  it.each(Object.entries(shapes))('within a twentieth of what the allocator counts: %s', async (name, shape) => {
    const path = await writeRandomModel(join(folder, name), shape);
    await using backend = createCpuBackend();
    using model = await load(path, { backend });
    const wrong: Record<string, number> = {};
    for (const expression of policies) {
      for (const context of [1024, 4096]) {
        for (const budget of ['20%', '50%']) {
          const options = { policy: registry.parse(expression), budget, kvType: 'f16' } as const;
          const { peak, weights } = model.estimate({ ...options, context });
          using session = model.session(options);
          await backend.finish();
          backend.resetPeak();
          const before = backend.memory().bytes;
          await session.prefill(
            Int32Array.from({ length: context }, (_, index) => (index * 17 + (index >> 5)) % shape.vocabulary),
          );
          await backend.finish();
          const ratio = (backend.memory().peakBytes - before) / (peak - weights);
          if (Math.abs(ratio - 1) > 0.05) wrong[`${expression} ${context} ${budget}`] = ratio;
        }
      }
    }
    expect(wrong).toEqual({});
  });
});
