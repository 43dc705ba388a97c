import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { definePolicy, keepBest, resolveBudgets } from '@kvsift/policy';
import { describe, expect, it } from 'vitest';
import type { SessionOptions } from './session-options.js';
import { madeModel, madePrompt } from './testing/made-model.js';
import { expressions, names, registry } from './testing/policy-expressions.js';

const made = madeModel();
const { backend } = made;
const prompt = madePrompt(48);
const budget = 16;

async function answer(options: SessionOptions): Promise<number[]> {
  const out: number[] = [];
  for await (const { id } of made.model.generate(prompt, { ...options, maxTokens: 8, ignoreEos: true })) out.push(id);
  return out;
}

describe('policies at work', () => {
  it.each(names)('%s: the same answer in every layout that takes it', async (name) => {
    const policy = registry.parse(expressions[name] ?? name);
    const layouts = policy.ragged ? (['flattened', 'paged'] as const) : (['dense', 'flattened', 'paged'] as const);
    const answers = await Promise.all(layouts.map((layout) => answer({ policy, budget, layout, blockSize: 4 })));
    expect(answers[0]).toHaveLength(8);
    for (const other of answers) expect(other).toEqual(answers[0]);
  });

  it.each(names)('%s: holds what its budget says', async (name) => {
    const policy = registry.parse(expressions[name] ?? name);
    using session = made.model.session({ policy, budget });
    await session.prefill(prompt);
    const { kvHeads, layers } = made.model.decoder.config;
    const { entries } = session.statistics();
    const whole = kvHeads * layers.length * prompt.length;
    if (registry.factories.get(name)?.definition.budget === 'own') expect(entries).toBeLessThanOrEqual(whole);
    else expect(entries).toBe(kvHeads * layers.length * budget);
  });

  it.each(names)('%s: a fork answers as its origin', async (name) => {
    const policy = registry.parse(expressions[name] ?? name);
    using session = made.model.session({ policy, budget });
    await session.prefill(prompt);
    await session.force(3);
    using twin = session.fork();
    const [own, other] = [await session.force(7), await twin.force(7)];
    expect(other).toEqual(own);
    expect(await twin.force(9)).toEqual(await session.force(9));
  });

  it.each([
    ...names.map((name) => expressions[name] ?? name),
    'decoding(snapkv(window=4), interval=3)',
    'rerotate(decoding(knorm, interval=2))',
    'ratchet(decoding(scissorhands(recent=4), interval=2))',
    'think(knorm, recent=4)',
    'cake(window=4, decode=true)',
    'rerotate(cake(window=4, decode=true))',
    'ratchet(cake(window=4, decode=true))',
    'simlayerkv(when=first-step, threshold=0.1, recent=12)',
    'decoding(scissorhands(importance=attention, decay=0.9))',
    'decoding(scissorhands(importance=attention, temperature=0.5))',
    'decoding(random)',
    'merging(decoding(h2o(window=4), interval=2), method=cam, window=6)',
    'merging(decoding(streaming-llm), method=weighted)',
    'phases(prompt=knorm, answer=merging(decoding(tova), method=keepkv, window=3))',
    'phases(prompt=pyramidkv(snapkv(window=4)), answer=decoding(h2o(window=4), interval=2, target=20))',
  ])('%s: is saved and goes on as its origin', async (expression) => {
    const options = { policy: registry.parse(expression), budget };
    const path = join(made.folder, 'saved.safetensors');
    using session = made.model.session(options);
    await session.prefill(prompt);
    for (const id of [3, 8, 1]) await session.force(id);
    await session.save(path);
    using restored = await made.model.restore(path, options);
    expect(restored.statistics().entries).toBe(session.statistics().entries);
    for (const id of [7, 9, 4, 2, 6]) expect(await restored.force(id)).toEqual(await session.force(id));
    expect(restored.statistics().entries).toBe(session.statistics().entries);
  });

  it.each([...names.map((name) => expressions[name] ?? name), 'phases(prompt=cake(window=4), answer=decoding(h2o(window=4)))'])(
    '%s: is saved behind the prompt',
    async (expression) => {
      const options = { policy: registry.parse(expression), budget };
      const path = join(made.folder, 'prompt.safetensors');
      using session = made.model.session(options);
      await session.prefill(prompt);
      await session.save(path);
      using restored = await made.model.restore(path, options);
      expect(await restored.logits()).toEqual(await session.logits());
      expect(await restored.force(5)).toEqual(await session.force(5));
    },
  );

  it.each(['streaming-llm', 'tova', 'knorm', 'h2o(window=4)', 'keydiff', 'lagkv(lag=4)', 'random'])(
    'decoding(%s) generates in constant memory',
    async (scorer) => {
      using session = made.model.session({ policy: registry.parse(`decoding(${scorer}, interval=3)`), budget });
      await session.prefill(prompt);
      const { kvHeads, layers } = made.model.decoder.config;
      for (let step = 1; step <= 12; step++) {
        await session.force(step);
        expect(session.statistics().entries).toBe(kvHeads * layers.length * (budget + (step % 3)));
      }
    },
  );

  it('cake keeps every layer at its own size while decoding', async () => {
    using session = made.model.session({ policy: registry.parse('cake(window=4, decode=true)'), budget, trackPositions: true });
    await session.prefill(prompt);
    const sizes = () => [0, 1, 2].map((layer) => session.cache.layer(layer).view.maxLength);
    const first = sizes();
    expect(new Set(first).size).toBeGreaterThan(1);
    for (let id = 0; id < 10; id++) {
      using twin = session.fork();
      await session.force(id);
      await twin.force(id);
      expect(await twin.retained(2)).toEqual(await session.retained(2));
      expect(sizes()).toEqual(first);
      for (const own of await session.retained(2)) expect([...own].slice(-4)).toEqual([45, 46, 47, 48].map((at) => at + id));
    }
  });

  it.each([
    ['decoding(knorm(pruneAfter=52, keepRatio=0.9))', [49, 50, 51, 47, 48, 49], [49, 50, 51, 47, 48, 49]],
    ['decoding(knorm(keepRatio=0.98))', [49, 49, 49, 49, 49, 49], [49, 49, 49, 49, 49, 49]],
    ['decoding(knorm(skipLayers=[0]), target=12)', [49, 50, 51, 52, 53, 54], [12, 12, 12, 12, 12, 12]],
    ['decoding(per-layer(knorm(skipLayers=[0]), weights=[1, 1, 1]))', [16, 16, 16, 16, 16, 16], [16, 16, 16, 16, 16, 16]],
  ])('%s leaves what specification 10 says', async (expression, first, second) => {
    using session = made.model.session({ policy: registry.parse(expression), budget });
    await session.prefill(prompt);
    const lengths: [number, number][] = [];
    for (const id of [3, 8, 1, 7, 2, 9]) {
      await session.force(id);
      lengths.push([session.cache.layer(0).view.maxLength, session.cache.layer(1).view.maxLength]);
    }
    expect(lengths.map(([own]) => own)).toEqual(first);
    expect(lengths.map(([, own]) => own)).toEqual(second);
  });

  it('lagkv compresses a partition once, when the next but one is full', async () => {
    const policy = registry.parse('decoding(lagkv(sinks=3, lag=8, keepRatio=0.5))');
    using session = made.model.session({ policy, budget, trackPositions: true });
    await session.prefill(prompt);
    // 3 sinks, 5 partitions of which 4 keep 4, and 5 tokens behind.
    let before = [...((await session.retained(1))[0] ?? [])];
    expect(before).toHaveLength(3 + 4 * 4 + 8 + 5);
    for (let seen = 49; seen <= 75; seen++) {
      await session.force(seen % 60);
      const now = [...((await session.retained(1))[0] ?? [])];
      const compressed = Math.floor((seen - 3) / 8) - 1;
      expect(now).toHaveLength(3 + compressed * 4 + seen - 3 - compressed * 8);
      const pointer = 3 + (Math.floor((seen - 1 - 3) / 8) - 1) * 4;
      expect(now.slice(0, pointer)).toEqual(before.slice(0, pointer));
      before = now;
    }
  });

  it('threshold judges each token once, when it leaves the window', async () => {
    const window = 6;
    const least = -1;
    using full = made.model.session({});
    await full.prefill(prompt);
    using session = made.model.session({
      policy: registry.parse(`threshold(knorm, threshold=${least}, window=${window})`),
      budget: '100%',
      trackPositions: true,
    });
    await session.prefill(prompt);
    const turns = [[], [3], [8], [1, 7, 2, 9, 4, 6, 3, 8, 5], [2], [1], [7]];
    for (const turn of turns) {
      if (turn.length === 1) for (const one of [full, session]) await one.force(turn[0] ?? 0);
      if (turn.length > 1) for (const one of [full, session]) await one.prefill(turn);
      // A second turn evicts nothing: its tokens are judged at the next step.
      if (turn.length > 1) continue;
      // Keys of the first layer depend on their own token alone.
      const { view } = full.cache.layer(0);
      const keys = (await backend.kvRead(view, 'keys').read()) as Float32Array;
      const { maxLength: length, headDim } = view;
      const norm = (entry: number) => Math.hypot(...keys.subarray(entry * headDim, (entry + 1) * headDim));
      const expected = [0, 1].map((head) =>
        Array.from({ length }, (_, at) => at).filter((at) => at >= length - window || -norm(head * length + at) >= least),
      );
      expect((await session.retained(0)).map((own) => [...own])).toEqual(expected);
      expect(expected[0]?.length).toBeLessThan(length - 5);
    }
  });

  it.each(['values', 'cam', 'keepkv', 'pivot'])(
    'merging by %s while decoding changes what is kept, not how much or which',
    async (method) => {
      const after = async (expression: string) => {
        using session = made.model.session({ policy: registry.parse(expression), budget, trackPositions: true });
        await session.prefill(prompt);
        for (const id of [3, 8, 1]) await session.force(id);
        const { view } = session.cache.layer(0);
        const values = (await backend.kvRead(view, 'values').read()) as Float32Array;
        return { kept: await session.retained(0), values, entries: session.statistics().entries };
      };
      const plain = await after('decoding(streaming-llm)');
      const first = await after(
        `phases(prompt=streaming-llm, answer=merging(decoding(streaming-llm), method=${method}, window=2))`,
      );
      expect(first.kept).toEqual(plain.kept);
      expect(first.entries).toBe(plain.entries);
      const changed = first.values.filter((value, at) => value !== plain.values[at]).length;
      expect(changed).toBeGreaterThan(0);
      // Some have taken nothing in.
      expect(changed).toBeLessThan(first.values.length);
    },
  );

  it('decoding(random) drops any entry, not those of one slot again and again', async () => {
    using session = made.model.session({ policy: registry.parse('decoding(random)'), budget: 8, trackPositions: true });
    await session.prefill(prompt);
    for (let step = 0; step < 60; step++) await session.force(step % 60);
    // An entry lives through 60 draws of 1 in 9 with a chance of 1 in 1,000.
    for (const own of await session.retained(1)) expect(own[0]).toBeGreaterThan(47);
  });

  it.each(['ratchet(streaming-llm, features=taylor, rule=none)', 'think(window=8, recent=8)', 'think(knorm, recent=4)'])(
    '%s: a second turn reads as token by token, and forks agree',
    async (expression) => {
      using session = made.model.session({ policy: registry.parse(expression), budget: 20 });
      await session.prefill(prompt);
      using twin = session.fork();
      const turn = [7, 3, 11, 2];
      await session.prefill(turn);
      const atOnce = await session.logits();
      let oneByOne = new Float32Array();
      for (const id of turn) oneByOne = new Float32Array(await twin.force(id));
      for (const [index, value] of oneByOne.entries()) expect(atOnce[index]).toBeCloseTo(value, 4);
    },
  );

  it('duo-attention slides its streaming heads while decoding, also behind a second turn', async () => {
    const { kvHeads, layers } = made.model.decoder.config;
    const path = join(made.folder, 'gates.json');
    await writeFile(path, JSON.stringify({ importance: layers.map(() => Array.from({ length: kvHeads }, (_, head) => head)) }));
    const policy = registry.parse(`duo-attention(table="${path}", sinks=2, recent=6, slide=4)`);
    using session = made.model.session({ policy, budget: '100%', trackPositions: true });
    await session.prefill(prompt);
    await session.prefill([3, 1, 2]);
    for (let step = 0; step < 8; step++) await session.force(step);
    const seen = prompt.length + 3 + 8;
    const all = Array.from({ length: seen }, (_, at) => at);
    const [streams, retrieves] = await session.retained(1);
    expect([...(streams ?? [])]).toEqual([0, 1, ...all.slice(-6)]);
    expect([...(retrieves ?? [])]).toEqual(all);
  });

  it('think holds the old keys at their kept width', async () => {
    using session = made.model.session({ policy: registry.parse('think(ratio=0.5, recent=8)'), budget: '100%' });
    const before = backend.memory().bytes;
    await session.prefill(prompt);
    const { kvHeads, layers, headDim } = made.model.decoder.config;
    const heads = kvHeads * layers.length;
    const { bytes, entries } = session.statistics();
    expect(entries).toBe(heads * prompt.length);
    expect(bytes).toBe(4 * heads * ((prompt.length - 8) * (headDim / 2 + headDim) + 8 * 2 * headDim));
    expect(backend.memory().bytes - before).toBeLessThan(bytes + 8192);
  });

  it.each([
    ['think(recent=8)', '100%', Array.from({ length: 51 }, (_, at) => at)],
    ['minicache(start=0, retained=0.3)', '100%', Array.from({ length: 51 }, (_, at) => at)],
    ['think(streaming-llm(sinks=4), recent=8)', '50%', [0, 1, 2, 3, ...Array.from({ length: 23 }, (_, at) => 28 + at)]],
  ] as const)('%s tells the positions of what it holds beside the cache too', async (expression, share, expected) => {
    const options = { policy: registry.parse(expression), budget: share, trackPositions: true };
    using session = made.model.session(options);
    await session.prefill(prompt);
    for (const id of [3, 8, 1]) await session.force(id);
    using twin = session.fork();
    const path = join(made.folder, 'narrow.safetensors');
    await session.save(path);
    using restored = await made.model.restore(path, options);
    for (const one of [session, twin, restored]) for (const own of await one.retained(1)) expect([...own]).toEqual(expected);
  });

  it('quest with a budget that covers the prompt answers as the full cache', async () => {
    const policy = registry.parse('quest(pageSize=4, fullLayers=0)');
    expect(await answer({ policy, budget: 100 })).toEqual(await answer({}));
  });

  it('ratchet corrects what streaming forgets, and changes nothing where nothing is evicted', async () => {
    const logits = async (options: SessionOptions): Promise<Float32Array> => {
      using session = made.model.session(options);
      await session.prefill(prompt);
      return await session.force(5);
    };
    const full = await logits({});
    const distance = (other: Float32Array) => Math.hypot(...full.map((value, index) => value - (other[index] ?? 0)));
    const taylor = registry.parse('ratchet(streaming-llm, features=taylor, rule=none)');
    expect(distance(await logits({ policy: taylor, budget: 100 }))).toBeLessThan(1e-4);
    const forgot = distance(await logits({ policy: registry.parse('streaming-llm'), budget }));
    expect(distance(await logits({ policy: taylor, budget }))).not.toBeCloseTo(forgot, 6);
  });

  it('names the policy whose scores are not of this layer', async () => {
    const odd = definePolicy({
      name: 'odd',
      title: 'Odd',
      idea: 'Scores one head too many.',
      parameters: {},
      observes: 'nothing',
      costs: 'none',
      phases: ['prefill'],
      create: () =>
        keepBest('odd', {
          protect: { first: 0, last: 0 },
          allocate: resolveBudgets,
          start: () => ({
            observe: {},
            score: ({ backend, length }) => backend.upload(new Float32Array(3 * length), 'f32', [3, length]),
          }),
        }),
    });
    using session = made.model.session({ policy: odd(), budget });
    await expect(session.prefill(prompt)).rejects.toThrow(/odd: scores of layer 0 must be f32 \[2, 48\].* not f32 \[3, 48\]/);
  });

  it('says that a selection is of other heads', async () => {
    const knorm = registry.parse('knorm');
    const policy: typeof knorm = {
      ...knorm,
      begin: (context) => ({
        ...knorm.begin(context),
        select: ({ backend }) => backend.selection(Int32Array.of(0, 1, 2), Int32Array.of(0, 1, 2, 3)),
      }),
    };
    using session = made.model.session({ policy, budget });
    await expect(session.prefill(prompt)).rejects.toThrow(/layer 0: the policy must choose for 2 KV heads, its selection has 3/);
  });
});
