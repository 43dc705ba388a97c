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

  it('d2o merges what is no less alike than the evicted entries on average', async () => {
    const inputs = randomInputs(8);
    const { length, headDim, keys: all } = inputs;
    const policy = merging({ policy: knorm(), method: 'd2o' });
    const { kept, keys = all } = await evict(createReferenceBackend(), policy, inputs, {
      budget: { kind: 'tokens', tokens: 48 },
    });
    kept.forEach((slots, head) => {
      const row = (from: Float32Array, at: number) => [...from.subarray(at * headDim, (at + 1) * headDim)];
      const own = (slot: number) => row(all, head * length + slot);
      const best = Array.from({ length }, (_, slot) => slot)
        .filter((slot) => !slots.includes(slot))
        .map((slot) => {
          const cosines = slots.map((target) => cosine(own(slot), own(target)));
          const most = Math.max(...cosines);
          return { most, target: cosines.indexOf(most) };
        });
      const mean = best.reduce((sum, { most }) => sum + most, 0) / best.length;
      const targets = new Set(best.filter(({ most }) => most >= mean).map(({ target }) => target));
      const changed = slots.flatMap((slot, at) => {
        const before = own(slot);
        return row(keys, head * slots.length + at).some((value, c) => value !== before[c]) ? [at] : [];
      });
      expect(changed).toEqual([...targets].sort((a, b) => a - b));
    });
  });
});

function cosine(a: readonly number[], b: readonly number[]): number {
  const product = a.reduce((sum, value, at) => sum + value * (b[at] ?? 0), 0);
  return product / (Math.hypot(...a) * Math.hypot(...b));
}
