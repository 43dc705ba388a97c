import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createReferenceBackend } from '@kvsift/backend-reference';
import { allPolicies } from '@kvsift/policies';
import { createRegistry, definePolicy, keepBest, resolveBudgets, type ScoreRun } from '@kvsift/policy';
import { snapkv } from '@kvsift/policy-snapkv';
import { type Backend, isKvsiftError } from '@kvsift/tensor';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { generateBatch } from './batch.js';
import type { LanguageModel } from './language-model.js';
import { modelShape } from './layer-view.js';
import { load } from './load.js';
import type { Session } from './session.js';
import type { SessionOptions } from './session-options.js';
import { expressions as needed, registry } from './testing/policy-expressions.js';
import { smallModel, writeRandomModel } from './testing/random-model.js';

const backend = createReferenceBackend();
const prompt = Int32Array.from({ length: 30 }, (_, index) => (index * 17 + 5) % 60);
const text = [3, 44, 17, 8, 59, 21, 3, 3, 12, 40, 5, 33, 7];
let folder: string;
/** The same weights: one model's steps are recorded, with their rules where these repeat; the other's never. */
let model: LanguageModel;
let plain: LanguageModel;
let windowed: LanguageModel;
/** Evictions that JavaScript has asked `model` for. */
let evictions = 0;

/** The backend with some of it in other words. */
function changed(other: Partial<Record<keyof Backend, unknown>>): Backend {
  return new Proxy<Backend>(backend, {
    get(target, name) {
      if (name in other) return other[name as keyof Backend];
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kvsift-rules-'));
  const path = await writeRandomModel(join(folder, 'llama'));
  const kvCompact = (...args: Parameters<Backend['kvCompact']>) => {
    evictions += 1;
    backend.kvCompact(...args);
  };
  model = await load(path, { backend: changed({ kvCompact }) });
  plain = await load(path, { backend: changed({ record: undefined }) });
  windowed = await load(await writeRandomModel(join(folder, 'mistral'), { ...smallModel, window: 8 }), {
    backend: changed({ kvCompact }),
  });
});

afterAll(async () => {
  for (const one of [model, plain, windowed]) one.dispose();
  await rm(folder, { recursive: true });
});

function optionsOf(expression: string, rest: SessionOptions = {}): SessionOptions {
  return { policy: allPolicies().parse(expression), budget: 12, trackPositions: true, ...rest };
}

/** Reads the prompt and begins with the text. */
async function begun(of: LanguageModel, options: SessionOptions, count = 0): Promise<Session> {
  const session = of.session(options);
  await session.prefill(prompt);
  for (const id of text.slice(0, count)) await session.force(id);
  return session;
}

/** Logits behind each token. */
async function follow(session: Session, ids: readonly number[]): Promise<Float32Array[]> {
  const out: Float32Array[] = [];
  for (const id of ids) out.push(await session.force(id));
  return out;
}

/** Everything that a session holds, in numbers. */
async function heldBy(session: Session) {
  const { entries, seen } = session.statistics();
  return { entries, seen, positions: await session.retained(1) };
}

// What a prompt of this length has paid outweighs all that comes later: a policy for the prompt that leaves no scores makes them count.
const counting = 'phases(prompt=snapkv(window=4), answer=decoding(h2o(window=1)))';
const expressions = [
  'decoding(streaming-llm)',
  'decoding(tova)',
  'decoding(h2o(window=1))',
  'decoding(knorm)',
  'decoding(keydiff)',
  'decoding(snapkv(window=4))',
  'decoding(pyramidkv(snapkv(window=4)))',
  'decoding(scissorhands(recent=4))',
  'decoding(per-layer(h2o(window=1), weights=[1, 2, 1]))',
  'merging(decoding(h2o(window=1)), method=d2o, threshold=0)',
  counting,
];

describe('rules that are part of the recorded step', () => {
  for (const layout of ['flattened', 'paged'] as const) {
    it.each(expressions)(`%s, ${layout}: to the bit what they are step by step`, async (expression) => {
      const options = optionsOf(expression, { layout, blockSize: 4 });
      using session = await begun(model, options);
      using other = await begun(plain, options);
      const own = await follow(session, text.slice(0, 4));
      evictions = 0;
      own.push(...(await follow(session, text.slice(4))));
      expect(evictions).toBe(0);
      expect(own).toEqual(await follow(other, text));
      expect(await heldBy(session)).toEqual(await heldBy(other));
    });
  }

  it('are those of the policies above, and of no other', () => {
    const context = {
      model: modelShape(model.decoder.config, { dtype: 'f32' }),
      promptLength: 64,
      budget: { kind: 'tokens', tokens: 40 },
      seed: 0,
      sequence: 0,
    } as const;
    const saying = [...registry.factories.values()].filter(({ definition: { name } }) => {
      try {
        using run = registry.parse(`decoding(${needed[name] ?? name})`).begin(context);
        return run.decode?.repeats;
      } catch (error) {
        if (isKvsiftError(error)) return false;
        throw error;
      }
    });
    for (const { definition } of saying) {
      const inside = expressions.some((expression) => expression.includes(`decoding(${definition.name}`));
      expect(inside, definition.name).toBe(true);
    }
    expect(saying.length).toBeGreaterThan(6);
  });

  it.each([
    ['a block of steps', () => model, 'decoding(h2o(window=1), interval=3)'],
    ['a budget that grows', () => model, 'decoding(knorm, of=seen)'],
    ['noise', () => model, 'decoding(scissorhands(recent=4, temperature=1))'],
    ['positions in a sliding window', () => windowed, 'decoding(tova)'],
    ['new positions', () => model, 'rerotate(decoding(knorm))'],
  ])('are not those that differ from step to step: %s', async (_, of, expression) => {
    using session = await begun(of(), optionsOf(expression, { budget: expression.includes('seen') ? '40%' : 6 }), 4);
    const counted = of() === model ? session : undefined;
    evictions = 0;
    await follow(session, text.slice(4));
    if (counted !== undefined && !expression.startsWith('rerotate')) expect(evictions).toBeGreaterThan(0);
  });

  it.each([counting, 'decoding(snapkv(window=4))'])('%s: forks and their origins go on by themselves', async (expression) => {
    const options = optionsOf(expression);
    using session = await begun(model, options, 6);
    const twins = [session.fork(), session.fork()];
    const [one, two] = twins;
    if (one === undefined || two === undefined) throw new Error('two forks');
    // The second begins only when the first and the origin have gone on.
    const words = [
      [9, 8, 7, 6, 5],
      [1, 2, 3, 4, 5],
      [50, 40, 30, 20, 10],
    ] as const;
    const sessions = [session, one, two];
    const got: Float32Array[][] = [[], [], []];
    for (const at of [0, 1, 2, 3, 4]) {
      for (const which of [0, 1]) got[which]?.push(...(await follow(sessions[which] ?? session, [words[which]?.[at] ?? 0])));
    }
    got[2]?.push(...(await follow(two, words[2])));
    for (const [which, ids] of words.entries()) {
      using alone = await begun(plain, options, 6);
      expect(got[which], `session ${which}`).toEqual(await follow(alone, ids));
    }
    for (const twin of twins) twin.dispose();
  });

  it.each([counting, 'decoding(snapkv(window=4))'])(
    '%s: a fork keeps its own numbers where both step at once',
    async (expression) => {
      const options = optionsOf(expression);
      using session = await begun(model, options, 6);
      using twin = session.fork();
      const own = [1, 2, 3, 4, 5, 6, 7];
      const others = [9, 18, 27, 36, 45, 54, 9];
      const both = await Promise.all([follow(twin, others), follow(session, own)]);
      for (const [which, ids] of [others, own].entries()) {
        using alone = await begun(plain, options, 6);
        expect(both[which], `${which}`).toEqual(await follow(alone, ids));
      }
    },
  );

  it('are saved as they stand, and go on from there', async () => {
    const options = optionsOf(counting);
    using session = await begun(model, options, 7);
    const path = join(folder, 'session');
    await session.save(path);
    using restored = await model.restore(path, options);
    expect(await follow(restored, text.slice(7))).toEqual(await follow(session, text.slice(7)));
    using second = await begun(plain, options, text.length);
    expect(await follow(session, [1, 2])).toEqual(await follow(second, [1, 2]));
  });

  it('begin anew behind a second turn', async () => {
    const options = optionsOf(counting);
    using session = await begun(model, options, 7);
    using other = await begun(plain, options, 7);
    for (const one of [session, other]) await one.prefill([5, 6, 7, 8]);
    expect(await follow(session, text)).toEqual(await follow(other, text));
  });

  it('may be those of some sequences of a batch', async () => {
    const each: SessionOptions[] = [
      optionsOf('decoding(h2o(window=1))'),
      {},
      optionsOf('decoding(streaming-llm)', { budget: 9 }),
      { policy: snapkv({ window: 4 }), budget: 12 },
    ];
    const answers = async (of: LanguageModel): Promise<number[][]> => {
      const sessions = await Promise.all(each.map((options) => begun(of, options)));
      const out: number[][] = sessions.map(() => []);
      evictions = 0;
      for await (const { id, session } of generateBatch(of.decoder, sessions, { ignoreEos: true, maxTokens: 12 }))
        out[session]?.push(id);
      for (const session of sessions) session.dispose();
      return out;
    };
    const own = await answers(model);
    // Two layers' worth of three steps: two before, and the recording.
    expect(evictions).toBe(3 * 2 * model.decoder.layers.length);
    expect(own).toEqual(await answers(plain));
  });

  it.each([
    ['waits in one', (run: ScoreRun): ScoreRun => ({ ...run, score: async (view) => run.score(view) })],
    [
      'had gathered',
      (run: ScoreRun): ScoreRun => {
        let steps = 0;
        const memory = { save: () => ({ numbers: { steps: steps < 3 ? 0 : steps }, tensors: {} }), check() {}, restore() {} };
        return {
          ...run,
          memory,
          fork: () => run,
          decode: {
            observe: {},
            repeats: true,
            step: () => {
              steps += 1 / 3;
            },
          },
        };
      },
    ],
  ])('are refused where they say so and do not: %s', async (sentence, made) => {
    const other = definePolicy({
      name: 'other',
      title: 'Other',
      idea: 'Later is better.',
      source: 'this test',
      parameters: {},
      observes: 'nothing',
      costs: 'none',
      phases: ['prefill', 'decode'],
      create: () =>
        keepBest('other', {
          protect: { first: 0, last: 0 },
          allocate: resolveBudgets,
          start: () =>
            made({
              observe: {},
              decode: { observe: {}, repeats: true },
              score: ({ backend: own, length, model: { kvHeads } }) =>
                own.upload(
                  Float32Array.from({ length: kvHeads * length }, (_, at) => at % length),
                  'f32',
                  [kvHeads, length],
                ),
            }),
        }),
    });
    const policy = createRegistry([...allPolicies().factories.values(), other]).parse('decoding(other)');
    using session = await begun(model, { policy, budget: 12 });
    await expect(follow(session, text)).rejects.toThrow(
      expect.objectContaining({ code: 'policy_violation', message: expect.stringContaining(sentence) }),
    );
  });

  it('free what they held when the session ends', async () => {
    await backend.finish();
    const before = backend.memory().bytes;
    const session = await begun(model, optionsOf(counting), 8);
    session.dispose();
    await backend.finish();
    expect(backend.memory().bytes).toBe(before);
  });
});
