import { createReferenceBackend } from '@kvsift/backend-reference';
import { conformance, evict, randomInputs, scoresOf } from '@kvsift/policy-testkit';
import { describe, expect, it } from 'vitest';
import { scissorhands } from './scissorhands.js';

describe('scissorhands', () => {
  const subject = { definition: scissorhands.definition, make: () => scissorhands({ history: 24 }) };
  for (const { name, run } of conformance(subject, createReferenceBackend)) it(name, run);

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
