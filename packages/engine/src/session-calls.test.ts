import type { EvictionPolicy, LayerView, PolicyRun } from '@kvsift/policy';
import { describe, expect, it } from 'vitest';
import { madeModel, madePrompt } from './testing/made-model.js';
import { expressions, names, registry } from './testing/policy-expressions.js';

const made = madeModel();
const { backend } = made;
const prompt = madePrompt(48);
const budget = 16;

/** A policy that works as `run` says and keeps everything else as it is. */
function policyOf(run: (whole: PolicyRun) => Partial<PolicyRun>): EvictionPolicy {
  return {
    name: 'test',
    parameters: {},
    ragged: false,
    begin({ model: shape }) {
      const budgets = Array.from({ length: shape.layers }, () => ({ perHead: budget, total: budget * shape.kvHeads }));
      const whole: PolicyRun = { observe: {}, budgets, select: () => 'all', dispose() {}, [Symbol.dispose]() {} };
      return { ...whole, ...run(whole) };
    },
  };
}

/** Slots 0 … budget − 1 of every head, or others. */
const chosen = ({ backend: place, model: { kvHeads } }: LayerView, first = 0) =>
  place.selection(
    Int32Array.from({ length: kvHeads * budget }, (_, index) => first + (index % budget)),
    Int32Array.from({ length: kvHeads + 1 }, (_, head) => head * budget),
  );

describe('rollback', () => {
  it.each(names)('%s: as if the tokens had never come, or refused with nothing changed', async (name) => {
    const options = { policy: registry.parse(expressions[name] ?? name), budget };
    using session = made.model.session(options);
    await session.prefill(prompt);
    // The next token ends a page of Quest's.
    for (const id of [3, 8, 1, 9, 4, 5]) await session.force(id);
    using twin = session.fork();
    try {
      session.rollback(3);
    } catch (error) {
      expect(error).toMatchObject({ code: 'unsupported' });
      for (const id of [7, 2]) expect(await session.force(id)).toEqual(await twin.force(id));
      return;
    }
    using fresh = made.model.session(options);
    await fresh.prefill(prompt);
    for (const id of [3, 8, 1]) await fresh.force(id);
    for (const id of [7, 2, 6]) expect(await session.force(id)).toEqual(await fresh.force(id));
  });

  it('takes whole numbers that the session can take back, and changes nothing otherwise', async () => {
    using session = made.model.session();
    await session.prefill(prompt);
    for await (const { id } of session.generate({ maxTokens: 3, ignoreEos: true })) expect(id).toBeGreaterThanOrEqual(0);
    const { length } = session;
    for (const tokens of [0.5, -1, Number.NaN, 1000, '1' as unknown as number]) {
      expect(() => session.rollback(tokens)).toThrow(expect.objectContaining({ code: 'invalid_argument' }));
    }
    expect(session.length).toBe(length);
    using fresh = made.model.session();
    await fresh.prefill(prompt);
    for await (const { id } of fresh.generate({ maxTokens: 3, ignoreEos: true })) expect(id).toBeGreaterThanOrEqual(0);
    expect(await session.logits()).toEqual(await fresh.logits());
  });
});

describe('one call at a time', () => {
  it('refuses to fork or take back while a prompt is read', async () => {
    using session = made.model.session();
    const reading = session.prefill(prompt);
    const busy = expect.objectContaining({ code: 'invalid_argument', message: expect.stringContaining('busy') });
    expect(() => session.fork()).toThrow(busy);
    expect(() => session.rollback(1)).toThrow(busy);
    await expect(session.logits()).rejects.toEqual(busy);
    await reading;
    expect(session.length).toBe(48);
  });

  it('ends with its session, which takes no memory again', async () => {
    const before = backend.memory().bytes;
    const session = made.model.session({ policy: registry.parse('snapkv(window=4)'), budget });
    const reading = session.prefill(prompt);
    session.dispose();
    const disposed = expect.objectContaining({ code: 'disposed', message: 'this session was disposed' });
    await expect(reading).rejects.toEqual(disposed);
    await expect(session.prefill(prompt)).rejects.toEqual(disposed);
    await expect(session.force(1)).rejects.toEqual(disposed);
    expect(() => session.fork()).toThrow(disposed);
    const second = made.model.session();
    await second.prefill(prompt);
    const chunks = second.generate({ maxTokens: 9, ignoreEos: true });
    await chunks.next();
    second.dispose();
    await expect(chunks.next()).rejects.toEqual(disposed);
    expect(backend.memory().bytes - before).toBeLessThanOrEqual(256);
  });
});

describe('failures', () => {
  it('of a second reading leave the session as it was', async () => {
    let fails = true;
    const policy = policyOf(() => ({
      reread: {
        observe: {},
        passes: () => [Int32Array.of(1, 2, 3)],
        look(_pass, { layer }) {
          if (fails && layer === 1) throw new RangeError('looked too closely');
        },
        decide: () => [],
      },
    }));
    using session = made.model.session({ policy, budget });
    await expect(session.prefill(prompt)).rejects.toThrow('looked too closely');
    expect(session.length).toBe(0);
    expect(session.statistics().entries).toBe(0);
    fails = false;
    await session.prefill(prompt);
    using fresh = made.model.session({ policy, budget });
    await fresh.prefill(prompt);
    expect(await session.logits()).toEqual(await fresh.logits());
    expect(session.statistics()).toEqual(fresh.statistics());
  });

  it('of a decode rule end the session, and it says why', async () => {
    const policy = policyOf(() => ({
      decode: {
        observe: {},
        step(view) {
          if (view.layer === 1) throw new RangeError('lost count');
          return chosen(view);
        },
      },
    }));
    using session = made.model.session({ policy, budget });
    await session.prefill(prompt);
    await expect(session.force(1)).rejects.toThrow('lost count');
    await expect(session.force(1)).rejects.toMatchObject({
      code: 'disposed',
      message: 'this session ended when a step failed: lost count',
    });
  });

  it('of one session are none of another on the same backend', async () => {
    const wrong = policyOf(() => ({ select: (view) => chosen(view, 1000) }));
    using plain = made.model.session();
    using broken = made.model.session({ policy: wrong, budget });
    const [refused, fine] = await Promise.allSettled([broken.prefill(prompt), plain.prefill(prompt)]);
    expect(refused).toMatchObject({ status: 'rejected', reason: { code: 'invalid_argument' } });
    expect(fine.status).toBe('fulfilled');
    using later = made.model.session();
    await later.prefill(prompt);
    expect(await plain.logits()).toEqual(await later.logits());
  });

  it('to compute numbers are errors, not tokens', async () => {
    const policy = policyOf(() => ({
      select(view) {
        const { kvHeads, headDim } = view.model;
        const values = new Float32Array(kvHeads * budget * headDim).fill(Number.NaN);
        return { selection: chosen(view), values: view.backend.upload(values, 'f32', [kvHeads, budget, headDim]) };
      },
    }));
    using session = made.model.session({ policy, budget });
    await session.prefill(prompt);
    await session.force(1);
    await expect(session.generate({ maxTokens: 1 }).next()).rejects.toMatchObject({
      code: 'backend_failure',
      message: expect.stringContaining('not numbers'),
    });
  });
});

describe('a second turn', () => {
  it.each([
    'decoding(h2o(window=4), interval=N)',
    'decoding(scissorhands(recent=4), interval=N)',
    'decoding(snapkv(window=4), interval=N)',
    'decoding(tova, interval=N)',
    'decoding(expected-attention, interval=N)',
    'decoding(keydiff(blockSize=8), interval=N)',
    'ratchet(decoding(scissorhands(recent=4), interval=N))',
    'rerotate(decoding(scissorhands(recent=4), interval=N))',
  ])('is to %s what its tokens one by one are', async (expression) => {
    const open = (interval: number) =>
      made.model.session({ policy: registry.parse(expression.replace('N', `${interval}`)), budget, trackPositions: true });
    using atOnce = open(1);
    const turn = Array.from({ length: 20 }, (_, index) => (index * 7 + 3) % 60);
    using oneByOne = open(turn.length + 1);
    await Promise.all([atOnce.prefill(prompt), oneByOne.prefill(prompt)]);
    await atOnce.prefill(turn);
    for (const id of turn) await oneByOne.force(id);
    for (const session of [atOnce, oneByOne]) await session.force(9);
    expect(atOnce.statistics().entries).toBe(oneByOne.statistics().entries);
    for (const layer of made.model.decoder.config.layers.keys())
      expect(await atOnce.retained(layer)).toEqual(await oneByOne.retained(layer));
  });
});
