import { createReferenceBackend } from '@kvsift/backend-reference';
import { conformance, evict, randomInputs, scoresOf } from '@kvsift/policy-testkit';
import { describe, expect, it } from 'vitest';
import { lagkv } from './lagkv.js';

describe('lagkv', () => {
  const subject = { definition: lagkv.definition, make: () => lagkv({ lag: 8 }) };
  for (const { name, run } of conformance(subject, createReferenceBackend)) it(name, run);

  const backend = createReferenceBackend();
  const inputs = randomInputs(5, { length: 3 + 4 * 8 + 5 });
  const options = { budget: { kind: 'tokens', tokens: 1 } } as const;

  it('as the repository: every partition but the last keeps its share, the best of it', async () => {
    const policy = lagkv({ sinks: 3, lag: 8, keepRatio: 0.4 });
    const { kept } = await evict(backend, policy, inputs, options);
    const scores = await scoresOf(backend, lagkv({ sinks: 3, lag: 8, scoring: 'cross' }), inputs, options);
    kept.forEach((slots, head) => {
      const own = scores.subarray(head * inputs.length, (head + 1) * inputs.length);
      const best = [0, 1, 2].flatMap((partition) => {
        const members = Array.from({ length: 8 }, (_, at) => 3 + partition * 8 + at);
        return members.sort((a, b) => (own[b] ?? 0) - (own[a] ?? 0)).slice(0, 3);
      });
      const tail = Array.from({ length: 8 + 5 }, (_, at) => 27 + at);
      expect(slots).toEqual([0, 1, 2, ...best.sort((a, b) => a - b), ...tail]);
    });
  });

  it('weighs values, skips layers, and refuses what contradicts itself', async () => {
    const by = (valueWeight: number, x = inputs) =>
      scoresOf(backend, lagkv({ sinks: 3, lag: 8, scoring: 'cross', valueWeight }), x, options);
    const [keys, both, heavy] = [await by(0), await by(1), await by(3)];
    for (const at of [5, 12, 20]) {
      const values = (both[at] ?? 0) - (keys[at] ?? 0);
      expect(heavy[at]).toBeCloseTo((keys[at] ?? 0) + 3 * values, 6);
    }
    const whole = await evict(backend, lagkv({ sinks: 3, lag: 8, skipLayers: [1] }), inputs, { ...options, layers: 2, layer: 1 });
    expect(whole.total).toBe(inputs.length * inputs.kvHeads);
    expect(() => lagkv({ keepRatio: 0.5, scoring: 'cross' })).toThrowError(expect.objectContaining({ code: 'policy_invalid' }));
  });
});
