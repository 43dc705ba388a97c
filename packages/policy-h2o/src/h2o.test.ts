import { createReferenceBackend } from '@kvsift/backend-reference';
import { conformance, randomInputs, repeatHeads, scoresOf } from '@kvsift/policy-testkit';
import { describe, expect, it } from 'vitest';
import { h2o, observedAttention } from './h2o.js';

describe('h2o', () => {
  const subject = { definition: h2o.definition, make: () => h2o({ window: 8 }) };
  for (const { name, run } of conformance(subject, createReferenceBackend)) it(name, run);

  it.each(['mean', 'max', 'sum'] as const)('heads of a group agree on the %s of what they pay', async (groupReduction) => {
    const backend = createReferenceBackend();
    const inputs = randomInputs(2, { length: 24 });
    const options = { budget: { kind: 'tokens', tokens: 12 } } as const;
    const own = await scoresOf(backend, h2o({ window: 4, groupReduction }), inputs, options);
    // With keys repeated to all query heads each is a group of its own.
    const alone = await scoresOf(backend, h2o({ window: 4 }), repeatHeads(inputs), options);
    const group = inputs.queryHeads / inputs.kvHeads;
    for (const [at, score] of own.entries()) {
      const [head, entry] = [Math.floor(at / 24), at % 24];
      const members = Array.from({ length: group }, (_, member) => alone[(head * group + member) * 24 + entry] ?? 0);
      const sum = members.reduce((total, value) => total + value, 0);
      expect(score).toBeCloseTo({ mean: sum / group, max: Math.max(...members), sum }[groupReduction], 5);
    }
  });
});

describe('observedAttention', () => {
  const subject = { definition: observedAttention.definition, make: () => observedAttention() };
  for (const { name, run } of conformance(subject, createReferenceBackend)) it(name, run);
});
