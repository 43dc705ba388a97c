import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createCpuBackend } from '@kvsift/backend-cpu';
import { allPolicies } from '@kvsift/policies';
import { writeSafetensors } from '@kvsift/weights';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { load } from './load.js';
import { prefillMany } from './prefill-many.js';
import { writeRandomModel } from './testing/random-model.js';

const tokens = 8192;
const shape = {
  ...{ layers: 2, hidden: 256, intermediate: 256, queryHeads: 4, kvHeads: 2, vocabulary: 61, contextLength: tokens + 64 },
} as const;
const headDim = shape.hidden / shape.queryHeads;
const registry = allPolicies();
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kvsift-bytes-'));
});

afterAll(() => rm(folder, { recursive: true }));

/** Expressions of policies that need something to wrap or a file; every other stands for itself. KVzip needs a tokenizer. */
async function expressions(): Promise<Map<string, string>> {
  const filters = join(folder, 'filters.safetensors');
  const data = Float32Array.from({ length: shape.layers * shape.kvHeads * headDim }, (_, at) => Math.cos(at));
  await writeSafetensors(filters, [{ name: 'filters', dtype: 'F32', shape: [shape.layers, shape.kvHeads, headDim], data }]);
  const special: Readonly<Record<string, string>> = {
    rerotate: 'rerotate(knorm)',
    'per-chunk': 'per-chunk(knorm)',
    'per-layer': 'per-layer(knorm, weights=[2, 1])',
    decoding: 'decoding(h2o)',
    phases: 'phases(prompt=knorm, answer=decoding(h2o))',
    minicache: 'minicache(start=0)',
    sequence: 'sequence(first=knorm, second=keydiff)',
    threshold: 'threshold(knorm, threshold=-1)',
    merging: 'merging(knorm)',
    'q-filters': `q-filters(filters="${filters}")`,
  };
  // Those that keep everything here share the memory that was read.
  const elsewhere = new Set(['kvzip', 'duo-attention', 'full', 'quest']);
  const names = [...registry.factories.keys()].filter((name) => !elsewhere.has(name));
  return new Map(names.map((name) => [name, special[name] ?? name]));
}

it('holds 20 % of the cache after an eviction to 20 % at 8K tokens, by the allocator, for every policy', async () => {
  const path = await writeRandomModel(join(folder, 'model'), shape);
  await using backend = createCpuBackend();
  using model = await load(path, { backend });
  const full = 2 * 4 * headDim * shape.kvHeads * shape.layers * tokens;
  const opened = [...(await expressions())].map(([name, expression]) => ({
    name,
    session: model.session({ policy: registry.parse(expression), budget: '20%', kvType: 'f32', layout: 'flattened' }),
  }));
  const ids = Int32Array.from({ length: tokens }, (_, index) => (index * 17 + (index >> 5)) % shape.vocabulary);
  await prefillMany(
    model.decoder,
    opened.map(({ session }) => session),
    ids,
  );
  const found: Record<string, { said: number; held: number }> = {};
  for (const { name, session } of opened) {
    const said = session.statistics().bytes / full;
    const before = backend.memory().bytes;
    session.dispose();
    await backend.finish();
    found[name] = { said, held: (before - backend.memory().bytes) / full };
  }
  for (const [name, { said, held }] of Object.entries(found)) {
    // Scores that follow the entries, page bounds and the like are state, not cache: below one percent of the whole.
    expect(Math.abs(held - said), `${name} says ${said}, holds ${held}`).toBeLessThan(0.01);
    if (registry.factories.get(name)?.definition.budget !== 'own') expect(held, name).toBeLessThan(0.21);
  }
  const think = found.think ?? { said: 1, held: 1 };
  // Key channels lose 25 of 64 (ratio 0.4) over a whole prompt.
  expect(think.held).toBeCloseTo(1 - 0.5 * (25 / 64), 2);
  const minicache = found.minicache ?? { said: 1, held: 1 };
  // Of two layers one direction for 95 % of the entries, and a length of each key and value.
  expect(minicache.held).toBeCloseTo(0.05 + 0.95 * (0.5 + 1 / headDim), 2);
}, 1_200_000);
