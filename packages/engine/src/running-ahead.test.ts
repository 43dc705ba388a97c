import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createReferenceBackend } from '@kvsift/backend-reference';
import { allPolicies } from '@kvsift/policies';
import { snapkv } from '@kvsift/policy-snapkv';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { LanguageModel } from './language-model.js';
import { load } from './load.js';
import { Session } from './session.js';
import type { SessionOptions } from './session-options.js';
import { smallModel, writeRandomModel } from './testing/random-model.js';

const backend = createReferenceBackend();
const prompt = Int32Array.from({ length: 30 }, (_, index) => (index * 17 + 5) % 60);
const free = { maxTokens: 20, ignoreEos: true };
let folder: string;
let model: LanguageModel;
let windowed: LanguageModel;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kvsift-ahead-'));
  model = await load(await writeRandomModel(join(folder, 'llama')), { backend });
  windowed = await load(await writeRandomModel(join(folder, 'mistral'), { ...smallModel, window: 8 }), { backend });
});

afterAll(async () => {
  model.dispose();
  windowed.dispose();
  await rm(folder, { recursive: true });
});

/** The greedy answer, one token at a time by hand: no step ever runs before its token is known. */
async function byHand(of: LanguageModel, options: SessionOptions, count: number, text = prompt): Promise<number[]> {
  using session = of.session(options);
  await session.prefill(text);
  let logits = await session.logits();
  const out: number[] = [];
  while (out.length < count) {
    const id = logits.indexOf(Math.max(...logits));
    out.push(id);
    logits = await session.force(id);
  }
  return out;
}

/** Reads the prompt, takes `count` tokens and leaves the loop. */
async function leaving(of: LanguageModel, options: SessionOptions, count: number): Promise<{ session: Session; ids: number[] }> {
  const session = of.session(options);
  await session.prefill(prompt);
  const ids: number[] = [];
  for await (const { id } of session.generate(free)) if (ids.push(id) === count) break;
  return { session, ids };
}

describe('a step that runs ahead of its token', () => {
  const cases: readonly (readonly [string, () => LanguageModel, SessionOptions])[] = [
    ['a full cache', () => model, {}],
    ['an evicted one', () => model, { policy: snapkv({ window: 4 }), budget: 12 }],
    ['ragged heads in blocks', () => model, { policy: snapkv({ window: 4 }), budget: 12, layout: 'paged', blockSize: 4 }],
    ['a sliding window', () => windowed, {}],
    ['evicted entries in a state', () => model, { policy: allPolicies().parse('ratchet'), budget: 12 }],
    ['narrow keys', () => model, { policy: allPolicies().parse('think(ratio=0.5, recent=4, window=4)'), budget: 12 }],
    ['one entry less a step', () => model, { policy: allPolicies().parse('decoding(h2o(window=4))'), budget: 12 }],
    [
      'a few less now and then',
      () => model,
      { policy: allPolicies().parse('decoding(tova, interval=4)'), budget: 12, layout: 'paged' },
    ],
    ['the budget reached while decoding', () => model, { policy: allPolicies().parse('decoding(keydiff)'), budget: 34 }],
    ['queries before rotation', () => model, { policy: allPolicies().parse('decoding(expected-attention)'), budget: 12 }],
    [
      'entries judged one by one',
      () => model,
      { policy: allPolicies().parse('threshold(knorm, threshold=-6, window=8)'), budget: 12 },
    ],
    ['a rule of its own', () => model, { policy: allPolicies().parse('scissorhands'), budget: 12 }],
    ['a rule that corrects', () => model, { policy: allPolicies().parse('ratchet(decoding(snapkv(window=4)))'), budget: 12 }],
  ];
  for (const [what, of, options] of cases) {
    it(`leaves no trace where the loop is left (${what})`, async () => {
      const expected = await byHand(of(), options, 9);
      for (const count of [1, 2, 5]) {
        const { session, ids } = await leaving(of(), options, count);
        using left = session;
        expect(ids).toEqual(expected.slice(0, count));
        expect(left.length).toBe(prompt.length + count);
        expect(left.statistics().seen).toBe(prompt.length + count - 1);
        const rest: number[] = [];
        for await (const { id } of left.generate({ ...free, maxTokens: 9 - count })) rest.push(id);
        expect(rest).toEqual(expected.slice(count));
      }
    });
  }

  it('answers as steps that are not recorded do', async () => {
    const plain = new Proxy(backend, {
      get: (target, name) => {
        const value = name === 'record' ? undefined : Reflect.get(target, name, target);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
    using unrecorded = await load(join(folder, 'llama'), { backend: plain });
    for (const [what, of, options] of cases.filter((row) => row[1]() === model)) {
      const logits = async (from: LanguageModel) => {
        using session = from.session(options);
        await session.prefill(prompt);
        for await (const _chunk of session.generate(free));
        // A second turn, and steps behind it.
        await session.prefill([7, 3, 9]);
        for (const id of [4, 8, 15]) await session.force(id);
        return await session.logits();
      };
      expect(await logits(of()), what).toEqual(await logits(unrecorded));
    }
  });

  it('records a step anew only where a cache moves, also where a decode rule follows it, and once with rules that repeat', async () => {
    let recordings = 0;
    const counting = new Proxy(backend, {
      get: (target, name) => {
        const value = Reflect.get(target, name, target);
        if (typeof value !== 'function') return value;
        if (name !== 'record') return value.bind(target);
        return (work: () => void) => {
          recordings += 1;
          return value.call(target, work);
        };
      },
    });
    using counted = await load(join(folder, 'llama'), { backend: counting });
    for (const [policy, times] of [
      ['decoding(h2o(window=4))', 2],
      ['decoding(tova, interval=4)', 1],
    ] as const) {
      using session = counted.session({ policy: allPolicies().parse(policy), budget: 12 });
      await session.prefill(prompt);
      recordings = 0;
      for await (const _chunk of session.generate({ ...free, maxTokens: 40 }));
      expect(recordings, policy).toBe(times);
    }
  });

  it('lets the loop look at the session, fork it and go on', async () => {
    const expected = await byHand(model, {}, 8);
    using session = model.session();
    await session.prefill(prompt);
    const ids: number[] = [];
    for await (const { id, cache } of session.generate({ ...free, maxTokens: 6 })) {
      ids.push(id);
      expect(cache.seen).toBe(prompt.length + ids.length - 1);
      expect(session.length).toBe(prompt.length + ids.length);
      expect(session.statistics().seen).toBe(cache.seen);
      using twin = session.fork();
      const next: number[] = [];
      for await (const chunk of twin.generate({ ...free, maxTokens: 2 })) next.push(chunk.id);
      expect(next).toEqual(expected.slice(ids.length, ids.length + 2));
    }
    expect(ids).toEqual(expected.slice(0, 6));
  });

  it('is taken back where the token ends the answer', async () => {
    // A text whose answer has not said its third token before.
    const texts = Array.from({ length: 40 }, (_, shift) => prompt.map((id) => (id + shift) % 60));
    const answers = await Promise.all(texts.map((text) => byHand(model, {}, 3, text)));
    const at = answers.findIndex(([a, b, c]) => c !== a && c !== b);
    const [first = 0, second = 0, third = 0] = answers[at] ?? [];
    const text = texts[at] ?? prompt;
    expect(third).not.toBe(first);
    const { decoder, contextLength } = model;
    using session = new Session({
      decoder,
      contextLength,
      tokenizer: undefined,
      eosIds: new Set([third]),
      fingerprint: () => model.fingerprint(),
    });
    await session.prefill(text);
    const reasons: (string | undefined)[] = [];
    for await (const { finishReason } of session.generate({ maxTokens: 9 })) reasons.push(finishReason);
    expect(reasons).toEqual([undefined, undefined, 'eos']);
    expect(session.length).toBe(prompt.length + 2);
    const logits = await session.logits();
    expect(logits.indexOf(Math.max(...logits))).toBe(third);
    await session.prefill([7, 9]);
    using fresh = model.session();
    await fresh.prefill([...text, first, second, 7, 9]);
    const [again, expected] = [await session.logits(), await fresh.logits()];
    for (const [index, value] of expected.entries()) expect(again[index]).toBeCloseTo(value, 4);
  });

  it('frees what it held when the session is disposed in the middle', async () => {
    await backend.finish();
    const before = backend.memory().bytes;
    const session = model.session();
    await session.prefill(prompt);
    const answer = session.generate(free);
    await answer.next();
    await answer.next();
    session.dispose();
    await answer.return();
    await backend.finish();
    expect(backend.memory().bytes).toBe(before);
  });
});
