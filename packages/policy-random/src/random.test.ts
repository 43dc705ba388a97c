import { createReferenceBackend } from '@kvsift/backend-reference';
import { conformance, evict, randomInputs } from '@kvsift/policy-testkit';
import { describe, expect, it } from 'vitest';
import { random } from './random.js';

describe('random', () => {
  const subject = { definition: random.definition, make: () => random({ sinks: 2, window: 4 }) };
  for (const { name, run } of conformance(subject, createReferenceBackend)) it(name, run);

  it.each(['own', 'shared'] as const)('layers draw their own numbers, or the same (%s)', async (layers) => {
    const backend = createReferenceBackend();
    const inputs = randomInputs(1, { length: 40 });
    const budget = { kind: 'tokens', tokens: 12 } as const;
    const kept = await Promise.all(
      [0, 1].map((layer) => evict(backend, random({ layers }), inputs, { budget, layers: 2, layer })),
    );
    expect(JSON.stringify(kept[0]?.kept) === JSON.stringify(kept[1]?.kept)).toBe(layers === 'shared');
    expect(kept[0]?.kept[0]).not.toEqual(kept[0]?.kept[1]);
  });
});
