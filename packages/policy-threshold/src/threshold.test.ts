import { createReferenceBackend } from '@kvsift/backend-reference';
import type { EvictionPolicy } from '@kvsift/policy';
import { leverage } from '@kvsift/policy-compactor';
import { expectedAttention } from '@kvsift/policy-expected-attention';

import { h2o } from '@kvsift/policy-h2o';
import { knorm } from '@kvsift/policy-knorm';
import { snapkv } from '@kvsift/policy-snapkv';
import { conformance, contextOf, evict, randomInputs } from '@kvsift/policy-testkit';
import { describe, expect, it } from 'vitest';
import { threshold } from './threshold.js';

const budget = { kind: 'tokens', tokens: 16 } as const;
const keptOf = async (policy: EvictionPolicy, inputs = randomInputs(1)) =>
  (await evict(createReferenceBackend(), policy, inputs, { budget })).kept;

describe('threshold', () => {
  const subject = { definition: threshold.definition, make: () => threshold({ policy: knorm(), threshold: -3, window: 8 }) };
  for (const { name, run } of conformance(subject, createReferenceBackend)) it(name, run);

  it('keeps the window, and before it what scores enough, head by head', async () => {
    const inputs = randomInputs(1);
    const { keys, length, headDim } = inputs;
    const least = -2.7;
    const expected = [0, 1].map((head) =>
      Array.from({ length }, (_, slot) => slot).filter((slot) => {
        const start = (head * length + slot) * headDim;
        return slot >= length - 10 || -Math.hypot(...keys.subarray(start, start + headDim)) >= least;
      }),
    );
    expect(await keptOf(threshold({ policy: knorm(), threshold: least, window: 10 }))).toEqual(expected);
    expect(expected[0]?.length).not.toBe(expected[1]?.length);
  });

  it('a higher threshold keeps a part of what a lower one keeps', async () => {
    const [low, high] = await Promise.all([-3, -2].map((at) => keptOf(threshold({ policy: knorm(), threshold: at, window: 4 }))));
    high?.forEach((slots, head) => {
      for (const slot of slots) expect(low?.[head]).toContain(slot);
      expect(slots.length).toBeLessThan(low?.[head]?.length ?? 0);
    });
  });

  it('what is no number has no score', async () => {
    const inputs = randomInputs(1);
    const keys = inputs.keys.slice().fill(Number.NaN, 5 * inputs.headDim, 6 * inputs.headDim);
    const policy = threshold({ policy: knorm(), threshold: -1e9, window: 4 });
    const [first, second] = await keptOf(policy, { ...inputs, keys });
    expect(first).toEqual(Array.from({ length: inputs.length }, (_, slot) => slot).filter((slot) => slot !== 5));
    expect(second).toHaveLength(inputs.length);
  });

  it('never evicts what the wrapped policy protects', async () => {
    const policy = threshold({ policy: expectedAttention({ sinks: 3 }), threshold: 1e9, window: 6, decode: false });
    for (const slots of await keptOf(policy)) expect(slots).toEqual([0, 1, 2, 58, 59, 60, 61, 62, 63]);
    const wide = threshold({ policy: snapkv({ window: 12 }), threshold: 1e9, window: 6, decode: false });
    for (const slots of await keptOf(wide)) expect(slots).toEqual(Array.from({ length: 12 }, (_, at) => 52 + at));
  });

  it.each([
    ['leverage', 'makes sense at prefill only', () => leverage()],
    ['snapkv', 'compares entries by what queries pay them', () => snapkv()],
    ['h2o', 'grows while the answer is read', () => h2o()],
  ])('refuses the score of %s, which %s', (_, reason, make) => {
    const context = contextOf(randomInputs(1), { budget });
    expect(() => threshold({ policy: make() }).begin(context)).toThrow(
      expect.objectContaining({ code: 'policy_invalid', message: expect.stringContaining(reason) }),
    );
    threshold({ policy: make(), decode: false }).begin(context).dispose();
  });
});
