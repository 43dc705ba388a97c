import { createReferenceBackend } from '@kvsift/backend-reference';
import { knorm } from '@kvsift/policy-knorm';
import { conformance, evict, randomInputs } from '@kvsift/policy-testkit';
import { describe, expect, it } from 'vitest';
import { merging } from './merging.js';

const methods = ['values', 'weighted', 'pivot', 'd2o', 'keepkv', 'cam'] as const;
const budget = { kind: 'tokens', tokens: 24 } as const;

describe('merging', () => {
  const subject = { definition: merging.definition, make: () => merging({ policy: knorm(), method: 'weighted' }) };
  for (const { name, run } of conformance(subject, createReferenceBackend)) it(name, run);

  it.each(methods)('%s keeps the set of the wrapped policy', async (method) => {
    const backend = createReferenceBackend();
    const inputs = randomInputs(4);
    const plain = await evict(backend, knorm(), inputs, { budget });
    const merged = await evict(backend, merging({ policy: knorm(), method, window: 8 }), inputs, { budget });
    expect(merged.kept).toEqual(plain.kept);
  });

  it('changes nothing above a cosine of 1', async () => {
    const backend = createReferenceBackend();
    const inputs = randomInputs(5);
    const { kept, values } = await evict(backend, merging({ policy: knorm(), threshold: 1.5 }), inputs, { budget });
    const own = kept.flatMap((slots, head) =>
      slots.flatMap((slot) => [...inputs.values.subarray((head * 64 + slot) * 8, (head * 64 + slot + 1) * 8)]),
    );
    expect([...(values ?? [])]).toEqual(own);
  });

  it.each(['values', 'weighted', 'pivot', 'keepkv'] as const)('%s leaves equal values as they are', async (method) => {
    const backend = createReferenceBackend();
    const inputs = { ...randomInputs(6), values: new Float32Array(2 * 64 * 8).fill(0.5) };
    const { values } = await evict(backend, merging({ policy: knorm(), method, window: 8 }), inputs, { budget });
    for (const value of values ?? []) expect(value).toBeCloseTo(0.5, 5);
  });
});
