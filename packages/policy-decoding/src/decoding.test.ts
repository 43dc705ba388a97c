import { createReferenceBackend } from '@kvsift/backend-reference';
import { h2o } from '@kvsift/policy-h2o';
import { knorm } from '@kvsift/policy-knorm';
import { snapkv } from '@kvsift/policy-snapkv';
import { conformance, contextOf, evict, type LayerInputs, layerView, randomInputs, readSelection } from '@kvsift/policy-testkit';
import { describe, expect, it } from 'vitest';
import { decoding } from './decoding.js';
import { phases } from './phases.js';

const backend = createReferenceBackend();
const budget = { kind: 'tokens', tokens: 5 } as const;

/** A layer of `length` entries as a step sees it. */
function stepView(inputs: LayerInputs, seen = inputs.length) {
  const own = { perHead: 5, total: 5 * inputs.kvHeads };
  return layerView(backend, inputs, { budget: own, observe: { queries: { last: 1 } }, seen });
}

describe('decoding', () => {
  const rules = {
    knorm: () => decoding({ policy: knorm() }),
    h2o: () => decoding({ policy: h2o({ window: 4 }) }),
    'snapkv, every fourth step': () => decoding({ policy: snapkv({ window: 4 }), interval: 4 }),
  };
  for (const [rule, make] of Object.entries(rules)) {
    for (const { name, run } of conformance({ definition: decoding.definition, make }, createReferenceBackend))
      it(`${rule}: ${name}`, run);
  }

  it('h2o lets the earlier of equally attended entries go (specification 5b)', async () => {
    const inputs = randomInputs(1, { length: 6 });
    const alike = { ...inputs, keys: new Float32Array(inputs.keys.length) };
    using run = decoding({ policy: h2o({ window: 1 }) }).begin(contextOf(alike, { budget }));
    const scores = backend.upload(new Float32Array(2 * 5).fill(1), 'f32', [2, 5]);
    await run.memory?.restore({ numbers: { 'steps.0': 0 }, tensors: { 'scores.0': scores } });
    const decision = await run.decode?.step(stepView(alike, 9));
    if (decision === undefined || decision === 'all' || 'selection' in decision) throw new Error('expected a selection');
    expect(await readSelection(decision)).toEqual([
      [1, 2, 3, 4, 5],
      [1, 2, 3, 4, 5],
    ]);
  });

  it('waits for its interval, but not behind what a second turn brought at once', async () => {
    using run = decoding({ policy: knorm(), interval: 4 }).begin(contextOf(randomInputs(1, { length: 40 }), { budget }));
    const left: number[] = [];
    for (const length of [6, 7, 8, 9, 6, 30, 6, 7, 8, 9, 6]) {
      const decision = await run.decode?.step(stepView(randomInputs(length, { length }), 60));
      left.push(decision === 'all' || decision === undefined || 'selection' in decision ? length : (decision.perHead ?? 0));
    }
    expect(left).toEqual([6, 7, 8, 5, 6, 5, 6, 7, 8, 5, 6]);
  });
});

describe('phases', () => {
  const make = () => phases({ prompt: snapkv({ window: 4 }), answer: decoding({ policy: knorm(), interval: 2 }) });
  for (const { name, run } of conformance({ definition: phases.definition, make }, createReferenceBackend)) it(name, run);

  it('chooses of the prompt as its policy alone, whatever the other observes', async () => {
    const inputs = randomInputs(4);
    const options = { budget: { kind: 'tokens', tokens: 24 } } as const;
    const alone = snapkv({ window: 4 });
    const both = phases({ prompt: alone, answer: decoding({ policy: snapkv({ window: 16 }) }) });
    const reference = await evict(backend, alone, inputs, options);
    expect((await evict(backend, both, inputs, options)).kept).toEqual(reference.kept);
  });

  it.each([
    ['evicts while decoding', () => phases({ prompt: decoding({ policy: knorm() }), answer: decoding({ policy: knorm() }) })],
    ['not knorm', () => phases({ prompt: knorm(), answer: knorm() })],
  ])('refuses what is not of the phase: %s', (reason, make) => {
    expect(make).toThrow(expect.objectContaining({ code: 'policy_invalid', message: expect.stringContaining(reason) }));
  });
});
