import { describe, expect, it } from 'vitest';
import type { SessionOptions } from './session-options.js';
import { madeModel, madePrompt } from './testing/made-model.js';
import { registry } from './testing/policy-expressions.js';
import { smallModel } from './testing/random-model.js';

const made = madeModel();
const windowed = madeModel({ ...smallModel, window: 12 });
const prompt = madePrompt(54);
const question = 4;
const optionsOf = (expression: string, budget: SessionOptions['budget'] = 20): SessionOptions => ({
  policy: registry.parse(expression),
  ...(budget !== undefined && { budget }),
  trackPositions: true,
});

async function read(options: SessionOptions, { model } = made) {
  const session = model.session(options);
  await session.prefill(prompt);
  return session;
}

describe('a prompt that is read part by part', () => {
  it('in one part keeps what one pass keeps', async () => {
    for (const rest of ['', ', heads=shared', ', normalise=false']) {
      using once = await read(optionsOf(`finch(question=4${rest})`));
      using parts = await read(optionsOf(`finch(question=4, segment=50${rest})`));
      for (let layer = 0; layer < smallModel.layers; layer++)
        expect(await parts.retained(layer)).toEqual(await once.retained(layer));
    }
  });

  it.each([
    'finch(question=4, segment=9)',
    'rerotate(finch(question=4, segment=9))',
    'rerotate(finch(question=4, segment=7, heads=shared))',
  ])('%s meets the budget, keeps the question, and only adds to what earlier parts left room for', async (expression) => {
    using session = await read(optionsOf(expression));
    const { seen, entries } = session.statistics();
    expect({ seen, entries }).toEqual({ seen: prompt.length, entries: 20 * smallModel.kvHeads * smallModel.layers });
    expect(session.cache.nextPosition).toBe(expression.startsWith('rerotate') ? 20 : prompt.length);
    for (let layer = 0; layer < smallModel.layers; layer++) {
      const heads = await session.retained(layer);
      for (const head of heads) {
        expect([...head].slice(-question)).toEqual([50, 51, 52, 53]);
        expect([...head]).toEqual([...head].sort((a, b) => a - b));
        // The room grows with the text: 16 entries for 50 tokens.
        for (const [at, position] of [...head].slice(0, -question).entries()) expect(position).toBeGreaterThanOrEqual(at);
      }
      if (expression.includes('shared')) expect(heads[1]).toEqual(heads[0]);
    }
    await session.force(3);
    await session.prefill([1, 2]);
    expect(session.length).toBe(prompt.length + 3);
  });

  it('as the original: each part leaves ⌊part / factor⌋', async () => {
    // ⌈50 / 16⌉ = 4: five parts of 9 leave 2 each, the last of 5 leaves 1.
    using session = await read(optionsOf('rerotate(finch(question=4, segment=9, quota=whole, heads=shared, normalise=false))'));
    expect(session.statistics().entries).toBe((5 * 2 + 1 + question) * smallModel.kvHeads * smallModel.layers);
  });

  it('answers as the full cache where the budget covers the prompt', async () => {
    using full = await read({ trackPositions: true });
    using covered = await read(optionsOf('rerotate(finch(question=4, segment=9))', 54));
    expect(await covered.force(7)).toEqual(await full.force(7));
  });

  it('keeps nothing of the context where the question takes the budget', async () => {
    using session = await read(optionsOf('finch(question=4, segment=9)', 4));
    for (const head of await session.retained(1)) expect([...head]).toEqual([50, 51, 52, 53]);
    using share = await read(optionsOf('rerotate(finch(question=4, segment=9))', '1%'));
    for (const head of await share.retained(1)) expect([...head]).toEqual([53]);
  });

  it('works in layers with a sliding window, forks, is saved, and says how far it is', async () => {
    for (const expression of ['finch(question=4, segment=9)', 'rerotate(finch(question=4, segment=9))']) {
      const options = optionsOf(expression);
      using session = windowed.model.session(options);
      const progress: number[] = [];
      await session.prefill(prompt, { onProgress: (done, all) => progress.push(done / all) });
      expect(progress).toEqual([...progress].sort((a, b) => a - b));
      expect(progress.at(-1)).toBe(1);
      expect(session.statistics().entries).toBe(20 * smallModel.kvHeads * smallModel.layers);
      using twin = session.fork();
      const path = `${windowed.folder}/parts.safetensors`;
      await session.save(path);
      using restored = await windowed.model.restore(path, options);
      const logits = await session.force(7);
      for (const one of [twin, restored]) expect(await one.force(7)).toEqual(logits);
    }
  });

  it('holds little more than its budget while it reads', async () => {
    const peakOf = async (expression: string) => {
      using session = made.model.session({ policy: registry.parse(expression), budget: 20 });
      await session.prefill(prompt.subarray(0, 5));
      using measured = made.model.session({ policy: registry.parse(expression), budget: 20 });
      made.backend.memory();
      let most = 0;
      await measured.prefill(madePrompt(240), { onProgress: () => (most = Math.max(most, made.backend.memory().bytes)) });
      return most - made.backend.memory().bytes;
    };
    expect(await peakOf('finch(question=4, segment=16)')).toBeLessThan((await peakOf('finch(question=4)')) / 3);
  });

  it('is undone where a part fails', async () => {
    using session = made.model.session(optionsOf('rerotate(finch(question=4, segment=9))'));
    const controller = new AbortController();
    const onProgress = (done: number, all: number) => done > all / 2 && controller.abort();
    await expect(session.prefill(prompt, { signal: controller.signal, onProgress })).rejects.toMatchObject({ code: 'aborted' });
    expect(session.statistics()).toMatchObject({ seen: 0, entries: 0 });
    await session.prefill(prompt);
    using fresh = await read(optionsOf('rerotate(finch(question=4, segment=9))'));
    expect(await session.force(7)).toEqual(await fresh.force(7));
  });

  it('says so where a policy keeps what is read again', async () => {
    const knorm = registry.parse('knorm');
    const policy: typeof knorm = {
      ...knorm,
      begin: (context) => ({ ...knorm.begin(context), segments: { length: 9, question: 4 }, select: () => 'all' }),
    };
    using session = made.model.session({ policy, budget: 20 });
    await expect(session.prefill(prompt)).rejects.toThrow(/layer 0: the policy kept more than the 9 tokens that it may keep/);
  });

  it.each(['think(X)', 'ratchet(X)', 'merging(X)', 'adakv(X)', 'decoding(X)', 'per-chunk(X)'])('%s refuses it', (wrapper) => {
    expect(() => registry.parse(wrapper.replace('X', 'finch(segment=9)'))).toThrowError(
      expect.objectContaining({ code: 'policy_invalid' }),
    );
  });
});
