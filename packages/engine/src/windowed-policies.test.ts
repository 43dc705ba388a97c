import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { load } from './load.js';
import { madeModel, madePrompt } from './testing/made-model.js';
import { registry } from './testing/policy-expressions.js';
import { smallModel, writeRandomModel } from './testing/random-model.js';

const window = 12;
const made = madeModel({ ...smallModel, window });
const { backend } = made;
const prompt = madePrompt(48);
const upTo = (count: number) => Array.from({ length: count }, (_, at) => at);

describe('policies in layers with a sliding window', () => {
  it.each(['ratchet(streaming-llm, rule=none)', 'merging(streaming-llm, method=weighted)'])(
    '%s brings back nothing that has left the window',
    async (expression) => {
      using full = made.model.session();
      using evicting = made.model.session({ policy: registry.parse(expression), budget: 20 });
      await full.prefill(prompt);
      await evicting.prefill(prompt);
      for (const id of [3, 8, 1]) {
        const expected = await full.force(id);
        for (const [index, value] of (await evicting.force(id)).entries()) expect(value).toBeCloseTo(expected[index] ?? 0, 4);
      }
    },
  );

  it.each([
    'snapkv(window=14)',
    'scissorhands(recent=2)',
    'scissorhands(importance=attention, recent=2)',
    'h2o(mask=window, window=4)',
    'h2o(mask=window, window=14)',
    'noncausal',
    'compactor(sinks=1, recent=2)',
    'nacl(proxies=0.3, recent=2)',
    'cake(window=14)',
    'think(window=14, recent=4)',
    'simlayerkv(lastQueries=14, sinks=1, recent=4, threshold=0.1)',
    'merging(knorm, method=cam, window=14)',
  ])('%s chooses where more rows were observed than the window holds entries', async (expression) => {
    using session = made.model.session({ policy: registry.parse(expression), budget: '20%' });
    await session.prefill(prompt);
    expect((await session.force(3)).every(Number.isFinite)).toBe(true);
  });

  it.each(['dense', 'flattened', 'paged'] as const)('rerotate gives survivors their new positions (%s)', async (layout) => {
    using session = made.model.session({ policy: registry.parse('rerotate(streaming-llm)'), budget: 16, layout, blockSize: 5 });
    await session.prefill(prompt);
    expect((await session.retained(1)).map((own) => [...own])).toEqual([upTo(16), upTo(16)]);
    for (const id of [3, 8, 1, 7]) await session.force(id);
    expect((await session.retained(1)).map((own) => [...own])).toEqual([upTo(20), upTo(20)]);
  });

  it.each(['rerotate(per-layer(knorm, weights=[1, 3, 2]))', 'rerotate(knorm(skipLayers=[1], keepRatio=0.2))'])(
    '%s goes on behind the longest layer',
    async (expression) => {
      using session = made.model.session({ policy: registry.parse(expression), budget: 16 });
      const longest = () => Math.max(...upTo(smallModel.layers).map((layer) => session.cache.layer(layer).view.maxLength));
      await session.prefill(prompt);
      expect(session.cache.nextPosition).toBe(longest());
      expect(longest()).toBeGreaterThan(session.cache.layer(0).view.maxLength);
      await session.force(5);
      expect(session.cache.nextPosition).toBe(longest());
    },
  );

  it.each([false, true])('a budget in bytes pays for positions (tracked: %s)', async (trackPositions) => {
    using unwindowed = await load(await writeRandomModel(join(made.folder, 'llama')), { backend });
    for (const one of trackPositions ? [made.model, unwindowed] : [made.model]) {
      using session = one.session({ policy: registry.parse('knorm'), budget: '4KiB', trackPositions });
      await session.prefill(prompt);
      const { entryBytes } = session.statistics();
      expect(entryBytes).toBeLessThanOrEqual(4096);
      expect(entryBytes).toBeGreaterThan(4096 - 2 * smallModel.kvHeads * (2 * 4 * 8 + 4));
    }
  });
});
