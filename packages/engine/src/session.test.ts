import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createReferenceBackend } from '@kvsift/backend-reference';
import { allPolicies } from '@kvsift/policies';
import { full } from '@kvsift/policy-full';
import { snapkv } from '@kvsift/policy-snapkv';
import { streamingLlm } from '@kvsift/policy-streaming-llm';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { generateBatch } from './batch.js';
import type { LanguageModel } from './language-model.js';
import { load } from './load.js';
import type { SessionOptions } from './session-options.js';
import { smallModel, writeRandomModel } from './testing/random-model.js';

const backend = createReferenceBackend();
const prompt = Int32Array.from({ length: 40 }, (_, index) => (index * 17 + 5) % 60);
let folder: string;
let model: LanguageModel;
let windowed: LanguageModel;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kvsift-engine-'));
  model = await load(await writeRandomModel(join(folder, 'llama')), { backend });
  windowed = await load(await writeRandomModel(join(folder, 'mistral'), { ...smallModel, window: 8 }), { backend });
});

afterAll(async () => {
  model.dispose();
  windowed.dispose();
  await rm(folder, { recursive: true });
});

async function answer(options: SessionOptions, ids = prompt, of = model): Promise<number[]> {
  const out: number[] = [];
  for await (const { id } of of.generate(ids, { ...options, maxTokens: 6, ignoreEos: true })) out.push(id);
  return out;
}

describe('a session', () => {
  it('gives the same logits whether tokens come at once or one by one', async () => {
    using whole = model.session();
    await whole.prefill(prompt);
    using split = model.session();
    await split.prefill(prompt.subarray(0, 11));
    for (const id of prompt.subarray(11, 39)) await split.force(id);
    const [expected, actual] = [await whole.logits(), await split.force(prompt[39] ?? 0)];
    for (const [index, value] of expected.entries()) expect(actual[index]).toBeCloseTo(value, 4);
  });

  it('answers alike in all layouts, to the bit', async () => {
    const policy = snapkv({ window: 4, kernelSize: 3 });
    const answers = await Promise.all(
      (['dense', 'flattened', 'paged'] as const).map((layout) => answer({ policy, budget: 12, layout, blockSize: 4 })),
    );
    expect(answers[1]).toEqual(answers[0]);
    expect(answers[2]).toEqual(answers[0]);
  });

  it('holds exactly its budget after the prompt and frees the rest', async () => {
    const before = backend.memory().bytes;
    {
      using session = model.session({ policy: snapkv({ window: 4 }), budget: 10 });
      await session.prefill(prompt);
      const { bytes, entryBytes, entries, seen } = session.statistics();
      const perEntry = 2 * 4 * (smallModel.hidden / smallModel.queryHeads);
      expect({ bytes, entryBytes, entries, seen }).toEqual({
        bytes: smallModel.layers * smallModel.kvHeads * 10 * perEntry,
        entryBytes: smallModel.layers * smallModel.kvHeads * 10 * perEntry,
        entries: smallModel.layers * smallModel.kvHeads * 10,
        seen: 40,
      });
    }
    // Rope tables stay with the model; nothing else may.
    expect(backend.memory().bytes - before).toBeLessThanOrEqual(smallModel.hidden * 4);
  });

  it('needs a budget where the policy looks at one', async () => {
    expect(() => model.session({ policy: snapkv({ window: 4 }) })).toThrowError(
      expect.objectContaining({ code: 'budget_invalid' }),
    );
    expect(await answer({ policy: full() })).toEqual(await answer({}));
    expect(model.estimate({ policy: full(), context: 40 }).cache).toBe(model.estimate({ context: 40 }).cache);
  });

  it('equals the full cache where the budget covers the prompt', async () => {
    const expected = await answer({});
    for (const policy of [full(), snapkv({ window: 4 }), streamingLlm({ sinks: 2 })]) {
      expect(await answer({ policy, budget: 40 })).toEqual(expected);
      expect(await answer({ policy, budget: '100%' })).toEqual(expected);
      expect(await answer({ policy, budget: 4000 })).toEqual(expected);
    }
  });

  it.each([
    'knorm',
    'keydiff(blockSize=4)',
    'h2o(window=4)',
    'expected-attention',
    'snapkv(window=4)',
    'adakv(snapkv(window=4))',
    'tova',
    'cake(window=4)',
    'lagkv(lag=4)',
    'random',
    'chunkkv(snapkv(window=4), chunk=3)',
    'criticalkv(snapkv(window=4))',
    'streaming-llm(sinks=2)',
  ])('%s spends nothing on what a sliding window hides', async (expression) => {
    const policy = allPolicies().parse(expression);
    expect(await answer({ policy, budget: 12 }, prompt, windowed)).toEqual(await answer({}, prompt, windowed));
    using session = windowed.session({ policy, budget: 6 });
    await session.prefill(prompt);
    for (const kept of await session.retained(1)) {
      expect(kept.length).toBeLessThanOrEqual(8);
      for (const position of kept) expect(position).toBeGreaterThanOrEqual(32);
    }
    expect(session.statistics().entries).toBeLessThanOrEqual(smallModel.layers * smallModel.kvHeads * 6);
  });

  it('tells which positions it kept, in every layout', async () => {
    for (const layout of ['dense', 'flattened', 'paged'] as const) {
      using session = model.session({
        policy: streamingLlm({ sinks: 2 }),
        budget: 6,
        layout,
        blockSize: 4,
        trackPositions: true,
      });
      await session.prefill(prompt);
      await session.force(3);
      for (const kept of await session.retained(1)) expect([...kept]).toEqual([0, 1, 36, 37, 38, 39, 40]);
    }
  });

  it('goes on with a second turn at the true positions', async () => {
    using session = model.session({ policy: streamingLlm({ sinks: 2 }), budget: 6, trackPositions: true });
    await session.prefill(prompt);
    for await (const { id } of session.generate({ maxTokens: 2, ignoreEos: true })) expect(id).toBeGreaterThanOrEqual(0);
    await session.prefill([1, 2, 3]);
    expect(session.length).toBe(45);
    const [kept] = await session.retained(0);
    expect([...(kept ?? [])]).toEqual([0, 1, 36, 37, 38, 39, 40, 41, 42, 43, 44]);
  });

  it('forks: both go on from the same past without disturbing each other', async () => {
    using session = model.session({ policy: snapkv({ window: 4 }), budget: 12 });
    await session.prefill(prompt);
    using twin = session.fork();
    await twin.force(9);
    const untouched = await answer({ policy: snapkv({ window: 4 }), budget: 12 });
    const after: number[] = [];
    for await (const { id } of session.generate({ maxTokens: 6, ignoreEos: true })) after.push(id);
    expect(after).toEqual(untouched);
  });

  it('is saved and goes on alike, in any layout', async () => {
    const options = { policy: snapkv({ window: 4 }), budget: 12 };
    const expected = await answer(options);
    const path = join(folder, 'session of yesterday');
    {
      using session = model.session(options);
      await session.prefill(prompt);
      await session.save(path);
    }
    for (const layout of ['dense', 'flattened', 'paged'] as const) {
      using restored = await model.restore(path, { ...options, layout });
      expect(restored.length).toBe(40);
      const ids: number[] = [];
      for await (const { id } of restored.generate({ maxTokens: 6, ignoreEos: true })) ids.push(id);
      expect(ids).toEqual(expected);
    }
    const mismatch = expect.objectContaining({ code: 'cache_mismatch' });
    await expect(model.restore(path, { policy: snapkv({ window: 5 }), budget: 12 })).rejects.toEqual(mismatch);
    await expect(model.restore(path, { ...options, kvType: 'f16' })).rejects.toEqual(mismatch);
    await expect(windowed.restore(path, options)).rejects.toEqual(mismatch);
    await expect(model.restore(join(folder, 'llama', 'model.safetensors'), options)).rejects.toEqual(mismatch);
  });

  it('keeps a cache in blocks of bytes: half the memory, and a file of its own', async () => {
    const wide = await load(await writeRandomModel(join(folder, 'wide'), { ...smallModel, hidden: 128 }), { backend });
    const path = join(folder, 'blocks.safetensors');
    const options = { policy: snapkv({ window: 4 }), budget: 12, kvType: 'q8_0' } as const;
    using exact = wide.session({ ...options, kvType: 'f16' });
    using session = wide.session(options);
    for (const one of [exact, session]) await one.prefill(prompt);
    expect(session.statistics().entryBytes / exact.statistics().entryBytes).toBeCloseTo(34 / 64, 6);
    expect(await session.force(5)).not.toEqual(await exact.force(5));
    await session.save(path);
    using restored = await wide.restore(path, { ...options, layout: 'paged' });
    expect(await restored.force(7)).toEqual(await session.force(7));
    await expect(wide.restore(path, { ...options, kvType: 'f16' })).rejects.toMatchObject({ code: 'cache_mismatch' });
    using narrow = model.session({ kvType: 'q8_0' });
    await expect(narrow.prefill(prompt)).rejects.toMatchObject({ code: 'shape_mismatch' });
    wide.dispose();
  });

  it('has room for an answer behind a long prompt that is kept whole, so that its first token moves nothing', async () => {
    const long = await load(await writeRandomModel(join(folder, 'long'), { ...smallModel, layers: 2, contextLength: 2048 }), {
      backend,
    });
    using session = long.session();
    await session.prefill(Int32Array.from({ length: 1024 }, (_, index) => index % 60));
    const { keys } = session.cache.layer(1).view;
    for (const id of [1, 2, 3]) await session.force(id);
    expect(session.cache.layer(1).view.keys).toBe(keys);
    expect(session.statistics().bytes / session.statistics().entryBytes).toBeLessThan(1.04);
    long.dispose();
    for (const options of [{}, { policy: snapkv({ window: 4 }), budget: 12 }]) {
      using exact = model.session(options);
      await exact.prefill(prompt);
      expect(exact.statistics().bytes).toBe(exact.statistics().entryBytes);
    }
  });

  it('rolls back what was appended, and no further than the eviction', async () => {
    using session = model.session({ policy: snapkv({ window: 4 }), budget: 12 });
    await session.prefill(prompt);
    const expected = await session.force(7);
    await session.force(8);
    session.rollback(2);
    const again = await session.force(7);
    expect([...again]).toEqual([...expected]);
    expect(() => session.rollback(5)).toThrowError(expect.objectContaining({ code: 'invalid_argument' }));
  });

  it('attends within sliding windows after an eviction', async () => {
    using whole = windowed.session();
    await whole.prefill(prompt);
    using evicted = windowed.session({ policy: streamingLlm({ sinks: 1 }), budget: 12 });
    await evicted.prefill(prompt);
    // The window sees the last 8 positions, all of which streaming keeps: nothing may change.
    const [expected, actual] = [await whole.force(5), await evicted.force(5)];
    for (const [index, value] of expected.entries()) expect(actual[index]).toBeCloseTo(value, 4);
  });

  it('repeats a sampled answer with the same seed', async () => {
    const draw = async (seed: number) => {
      const ids: number[] = [];
      for await (const { id } of model.generate(prompt, { temperature: 1, topK: 20, seed, maxTokens: 12, ignoreEos: true }))
        ids.push(id);
      return ids;
    };
    const first = await draw(1);
    expect(await draw(1)).toEqual(first);
    expect(await draw(2)).not.toEqual(first);
  });

  it('has the same answer for any budget that keeps everything attended to', () =>
    fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 5, max: 70 }), async (length, budget) => {
        using session = model.session({ policy: snapkv({ window: 4, kernelSize: 3 }), budget });
        await session.prefill(Int32Array.from({ length }, (_, index) => (index * 7) % 60));
        expect(session.statistics().entries).toBe(smallModel.layers * smallModel.kvHeads * Math.min(length, budget));
      }),
      { numRuns: 25 },
    ));
});

describe('a session refuses', () => {
  const code = (expected: string) => expect.objectContaining({ code: expected });

  it('an empty prompt, foreign ids, too long a text', async () => {
    using session = model.session();
    await expect(session.prefill([])).rejects.toEqual(code('invalid_argument'));
    await expect(session.prefill([61])).rejects.toEqual(code('invalid_argument'));
    await expect(session.prefill(new Int32Array(257))).rejects.toEqual(code('context_length_exceeded'));
    await expect(session.logits()).rejects.toEqual(code('invalid_argument'));
  });

  it('text without a tokenizer, a policy without a budget, bad sampling', async () => {
    using session = model.session();
    await expect(session.prefill('hello')).rejects.toEqual(code('invalid_argument'));
    expect(() => model.session({ policy: snapkv() })).toThrowError(code('budget_invalid'));
    await expect(model.generate(prompt, { temperature: -1 }).next()).rejects.toEqual(code('invalid_argument'));
    await expect(model.generate(prompt, { topK: 1.5 }).next()).rejects.toEqual(code('invalid_argument'));
  });

  it('work after an abort, and stays usable', async () => {
    using session = model.session({ policy: snapkv({ window: 4 }), budget: 12 });
    const controller = new AbortController();
    const onProgress = (done: number, total: number) => done > total / 2 && controller.abort();
    await expect(session.prefill(prompt, { signal: controller.signal, onProgress })).rejects.toEqual(code('aborted'));
    expect(session.statistics().entries).toBe(0);
    await session.prefill(prompt);
    const expected = await session.force(4);
    session.rollback(1);
    await expect(session.prefill([1, 2], { signal: AbortSignal.abort() })).rejects.toEqual(code('aborted'));
    expect([...(await session.force(4))]).toEqual([...expected]);
  });

  it.each(['decoding(h2o(window=2))', 'decoding(scissorhands)', 'decoding(snapkv(window=4))', 'threshold(knorm, threshold=-4)'])(
    'go on as before where a policy that works on while decoding had noted half of what was read: %s',
    async (policy) => {
      using session = model.session({ policy: allPolicies().parse(policy), budget: 12 });
      await session.prefill(prompt);
      await session.force(3);
      using untouched = session.fork();
      for (const share of [0, 0.3]) {
        const controller = new AbortController();
        const onProgress = (done: number, total: number) => done > share * total && controller.abort();
        if (share === 0) controller.abort();
        await expect(session.prefill(prompt, { signal: controller.signal, onProgress })).rejects.toEqual(code('aborted'));
      }
      for (const id of [4, 5]) expect([...(await session.force(id))]).toEqual([...(await untouched.force(id))]);
      expect({ ...session.statistics(), bytes: 0 }).toEqual({ ...untouched.statistics(), bytes: 0 });
    },
  );
});

describe('a batch', () => {
  it('answers as each session alone, whatever its length, policy, budget and seed', async () => {
    const cases = [
      { length: 40, options: { policy: snapkv({ window: 4 }), budget: 12 }, sampling: { maxTokens: 6 } },
      { length: 7, options: {}, sampling: { maxTokens: 9, temperature: 1, seed: 3 } },
      { length: 23, options: { policy: streamingLlm({ sinks: 2 }), budget: '50%', sequence: 2 }, sampling: { maxTokens: 3 } },
    ];
    const open = async (sample: (typeof cases)[number]) => {
      const session = model.session(sample.options);
      await session.prefill(prompt.subarray(0, sample.length));
      return session;
    };
    const alone: number[][] = [];
    for (const sample of cases) {
      using session = await open(sample);
      const ids: number[] = [];
      for await (const { id } of session.generate({ ...sample.sampling, ignoreEos: true })) ids.push(id);
      alone.push(ids);
    }
    const sessions = await Promise.all(cases.map(open));
    const together: number[][] = cases.map(() => []);
    const options = cases.map(({ sampling }) => ({ ...sampling, ignoreEos: true }));
    for await (const { id, session } of generateBatch(model.decoder, sessions, options)) together[session]?.push(id);
    expect(together).toEqual(alone);
    for (const session of sessions) session.dispose();
  });

  it('needs an option set per session', async () => {
    await expect(generateBatch(model.decoder, [], [{}]).next()).rejects.toEqual(
      expect.objectContaining({ code: 'invalid_argument' }),
    );
  });
});
