import { createReferenceBackend } from '@kvsift/backend-reference';
import { attentionRow, conformance, evict, randomInputs } from '@kvsift/policy-testkit';
import { describe, expect, it } from 'vitest';
import { finch, keptOf } from './finch.js';

describe('finch', () => {
  const subject = { definition: finch.definition, make: () => finch({ question: 8 }) };
  for (const { name, run } of conformance(subject, createReferenceBackend)) it(name, run);

  it('shared: all heads keep what they attend to together', async () => {
    const backend = createReferenceBackend();
    const inputs = randomInputs(3, { length: 40 });
    const { kvHeads, queryHeads, length } = inputs;
    const question = 5;
    const policy = finch({ question, heads: 'shared', normalise: false });
    const { kept } = await evict(backend, policy, inputs, { budget: { kind: 'tokens', tokens: 17 } });
    const paid = new Float64Array(length - question);
    for (let head = 0; head < queryHeads; head++)
      for (let row = length - question; row < length; row++) {
        const shares = attentionRow(inputs, head, row);
        for (const key of paid.keys()) paid[key] = (paid[key] ?? 0) + (shares[key] ?? 0);
      }
    const best = [...paid.keys()].sort((a, b) => (paid[b] ?? 0) - (paid[a] ?? 0)).slice(0, 12);
    const expected = [...best, 35, 36, 37, 38, 39].sort((a, b) => a - b);
    expect(kept).toEqual(Array.from({ length: kvHeads }, () => expected));
  });

  it('parts leave what the budget has room for', () => {
    expect([7, 14, 20].map((read) => keptOf(read, 20, 5, { segment: 7, quota: 'exact' }))).toEqual([1, 3, 5]);
    expect([7, 14, 20].map((read) => keptOf(read, 20, 5, { segment: 7, quota: 'whole' }))).toEqual([1, 2, 3]);
    expect(keptOf(14, 20, 20, { segment: 7, quota: 'whole' })).toBe(14);
    expect(keptOf(14, 20, 0, { segment: 7, quota: 'whole' })).toBe(0);
  });
});
