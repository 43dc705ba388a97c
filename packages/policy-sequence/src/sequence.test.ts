import { createReferenceBackend } from '@kvsift/backend-reference';
import type { EvictionPolicy } from '@kvsift/policy';
import { leverage } from '@kvsift/policy-compactor';
import { full } from '@kvsift/policy-full';
import { h2o } from '@kvsift/policy-h2o';
import { keydiff } from '@kvsift/policy-keydiff';
import { knorm } from '@kvsift/policy-knorm';
import { random } from '@kvsift/policy-random';
import { snapkv } from '@kvsift/policy-snapkv';
import { conformance, contextOf, evict, type LayerInputs, randomInputs } from '@kvsift/policy-testkit';
import { describe, expect, it } from 'vitest';
import { leftByFirst, sequence } from './sequence.js';

const budget = { kind: 'tokens', tokens: 16 } as const;
const keptOf = async (policy: EvictionPolicy, inputs: LayerInputs, tokens = 16) =>
  (await evict(createReferenceBackend(), policy, inputs, { budget: { kind: 'tokens', tokens } })).kept;

/** The layer with the entries of `kept` alone, and the queries of the last tokens. */
function cut(inputs: LayerInputs, kept: readonly (readonly number[])[]): LayerInputs {
  const { headDim, length, queryHeads } = inputs;
  const count = kept[0]?.length ?? 0;
  const rows = (x: Float32Array, head: number, slots: readonly number[]) =>
    slots.flatMap((slot) => [...x.subarray((head * length + slot) * headDim, (head * length + slot + 1) * headDim)]);
  const last = Array.from({ length: count }, (_, at) => length - count + at);
  return {
    ...inputs,
    length: count,
    keys: Float32Array.from(kept.flatMap((slots, head) => rows(inputs.keys, head, slots))),
    values: Float32Array.from(kept.flatMap((slots, head) => rows(inputs.values, head, slots))),
    queries: Float32Array.from(Array.from({ length: queryHeads }, (_, head) => rows(inputs.queries, head, last)).flat()),
  };
}

describe('sequence', () => {
  const make = () => sequence({ first: snapkv({ window: 8 }), second: keydiff() });
  for (const { name, run } of conformance({ definition: sequence.definition, make }, createReferenceBackend)) it(name, run);
  const keysBefore = () => sequence({ first: knorm(), second: leverage({ sketch: 4 }) });
  const drawn = { ...sequence.definition, seeded: true };
  for (const { name, run } of conformance({ definition: drawn, make: keysBefore }, createReferenceBackend))
    it(`leverage: ${name}`, run);

  it.each([
    ['keydiff', () => keydiff()],
    ['snapkv', () => snapkv({ window: 4, kernelSize: 3 })],
  ])('%s chooses of what the first has left as if there were nothing else', async (_, make) => {
    const inputs = randomInputs(3, { length: 80 });
    const first = snapkv({ window: 6 });
    const left = leftByFirst(contextOf(inputs, { budget }), 0.5);
    expect(left).toBe(Math.round(Math.sqrt(80 * 16)));
    const middle = await keptOf(first, inputs, left);
    const last = await keptOf(make(), cut(inputs, middle));
    const expected = last.map((slots, head) => slots.map((slot) => middle[head]?.[slot]));
    expect(await keptOf(sequence({ first, second: make() }), inputs)).toEqual(expected);
  });

  it('is the other policy alone where one of them keeps everything', async () => {
    const inputs = randomInputs(4);
    const alone = await keptOf(knorm(), inputs);
    expect(await keptOf(sequence({ first: full(), second: knorm() }), inputs)).toEqual(alone);
    expect(await keptOf(sequence({ first: random(), second: knorm(), share: 0 }), inputs)).toEqual(alone);
    expect(await keptOf(sequence({ first: knorm(), second: random(), share: 1 }), inputs)).toEqual(alone);
  });

  it.each([
    [
      'the last 4 tokens, of which the first policy is sure to keep 0',
      () => sequence({ first: knorm(), second: snapkv({ window: 4 }) }),
    ],
    ['the attention of the whole prompt', () => sequence({ first: snapkv({ window: 8 }), second: h2o({ window: 4 }) })],
  ])('refuses attention to what is gone: %s', (message, make) => {
    expect(() => make().begin(contextOf(randomInputs(1), { budget }))).toThrow(
      expect.objectContaining({ code: 'policy_invalid', message: expect.stringContaining(message) }),
    );
  });
});
