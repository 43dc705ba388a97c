import { createReferenceBackend } from '@kvsift/backend-reference';
import { reduceGroups, windowAttention } from '@kvsift/policy';
import { conformance, contextOf, evict, layerView, randomInputs, scoresOf } from '@kvsift/policy-testkit';
import { describe, expect, it } from 'vitest';
import { scissorhands } from './scissorhands.js';

describe('scissorhands', () => {
  const subject = { definition: scissorhands.definition, make: () => scissorhands({ history: 24 }) };
  for (const { name, run } of conformance(subject, createReferenceBackend)) it(name, run);

  it('attention: sums what the last queries pay, and fades it while decoding', async () => {
    const backend = createReferenceBackend();
    const inputs = randomInputs(3, { length: 30 });
    const { kvHeads } = inputs;
    const budget = { perHead: 20, total: 20 * kvHeads };
    const policy = scissorhands({ history: 6, importance: 'attention', decay: 0.5, sinks: 2, recent: 3 });
    expect(policy.scoring.protect).toEqual({ first: 2, last: 3 });
    const run = policy.scoring.start(contextOf(inputs, { budget: { kind: 'tokens', tokens: 20 } }));
    const paidBy = (rows: number) => {
      const view = layerView(backend, inputs, { budget, observe: { queries: { last: rows } } });
      return { view, sums: reduceGroups(backend, windowAttention(view, rows), kvHeads) };
    };
    const prompt = paidBy(6);
    const first = await run.score(prompt.view);
    expect(await first.read()).toEqual(await prompt.sums.read());
    const all = backend.selection(
      Int32Array.from({ length: 30 * kvHeads }, (_, at) => at % 30),
      Int32Array.from({ length: kvHeads + 1 }, (_, head) => 30 * head),
    );
    run.kept?.(prompt.view, first, all);
    const step = paidBy(1);
    await run.decode?.step?.(step.view);
    const [scores, before, own] = await Promise.all(
      [run.score(step.view), prompt.sums, step.sums].map(async (x) => (await x).read()),
    );
    for (const [at, score] of (scores ?? []).entries()) expect(score).toBeCloseTo((before?.[at] ?? 0) / 2 + (own?.[at] ?? 0), 6);
  });

  const drawing = { importance: 'attention', temperature: 0.5 } as const;
  const drawn = {
    definition: { ...scissorhands.definition, seeded: true },
    make: () => scissorhands({ history: 24, ...drawing }),
  };
  for (const { name, run } of conformance(drawn, createReferenceBackend))
    if (!name.startsWith('evicts no entry')) it(`drawing: ${name}`, run);

  it('draws entries by the softmax of what they were paid', async () => {
    const backend = createReferenceBackend();
    const inputs = randomInputs(3, { length: 9, kvHeads: 1, queryHeads: 2 });
    const budget = { kind: 'tokens', tokens: 2 } as const;
    const paid = await scoresOf(backend, scissorhands({ history: 4, recent: 1, importance: 'attention' }), inputs, { budget });
    const policy = scissorhands({ history: 4, recent: 1, ...drawing });
    const weights = Array.from({ length: 8 }, (_, slot) => Math.exp((paid[slot] ?? 0) / drawing.temperature));
    const counts = new Array<number>(8).fill(0);
    const draws = 3000;
    for (let seed = 0; seed < draws; seed++) {
      const { kept } = await evict(backend, policy, inputs, { budget, seed });
      const [first = 0] = kept[0] ?? [];
      counts[first] = (counts[first] ?? 0) + 1;
    }
    const all = weights.reduce((sum, weight) => sum + weight, 0);
    const chi = counts.reduce((sum, count, slot) => {
      const expected = (draws * (weights[slot] ?? 0)) / all;
      return sum + (count - expected) ** 2 / expected;
    }, 0);
    // 7 degrees of freedom: 24.3 is passed once in 1,000.
    expect(chi).toBeLessThan(24.3);
    expect(Math.max(...weights) / Math.min(...weights)).toBeGreaterThan(1.5);
  });

  it('survivors keep what they were paid, not what was drawn', async () => {
    const backend = createReferenceBackend();
    const inputs = randomInputs(3, { length: 30 });
    const { kvHeads } = inputs;
    const budget = { perHead: 20, total: 20 * kvHeads };
    const context = contextOf(inputs, { budget: { kind: 'tokens', tokens: 20 } });
    const all = backend.selection(
      Int32Array.from({ length: 30 * kvHeads }, (_, at) => at % 30),
      Int32Array.from({ length: kvHeads + 1 }, (_, head) => 30 * head),
    );
    const after = async (temperature: number) => {
      const run = scissorhands({ history: 6, importance: 'attention', temperature }).scoring.start(context);
      const view = layerView(backend, inputs, { budget, observe: run.observe });
      run.kept?.(view, await run.score(view), all);
      return run.memory?.save().tensors['0']?.read();
    };
    expect(await after(1)).toEqual(await after(0));
  });

  it('drops the earlier of equally neglected entries', async () => {
    const backend = createReferenceBackend();
    const inputs = randomInputs(3);
    const recent = 2;
    const options = { budget: { kind: 'tokens', tokens: 20 } } as const;
    const policy = scissorhands({ history: 1, recent });
    const { kept } = await evict(backend, policy, inputs, options);
    const scores = await scoresOf(backend, policy, inputs, options);
    kept.forEach((slots, head) => {
      const own = scores.subarray(head * inputs.length, (head + 1) * inputs.length - recent);
      const best = [...own.keys()].sort((a, b) => (own[b] ?? 0) - (own[a] ?? 0) || b - a).slice(0, 20 - recent);
      expect(slots.slice(0, -recent)).toEqual(best.sort((a, b) => a - b));
    });
  });
});
