import type { PolicyRun } from '@kvsift/policy';
import { scoped } from '@kvsift/tensor';
import { describe, expect, it } from 'vitest';
import { madeModel, madePrompt } from './testing/made-model.js';
import { registry } from './testing/policy-expressions.js';
import { smallModel } from './testing/random-model.js';

const made = madeModel();
const { backend } = made;
const prompt = madePrompt(96);
const layers = Array.from({ length: smallModel.layers }, (_, layer) => layer);
const budget = 20;

describe('wrappers of a cascade', () => {
  it('rerotate turns what is left after the last layer as if it had been chosen at once', async () => {
    const options = { budget, trackPositions: true };
    using plain = made.model.session({ ...options, policy: registry.parse('cake(window=4)') });
    using turned = made.model.session({ ...options, policy: registry.parse('rerotate(cake(window=4))') });
    await plain.prefill(prompt);
    await turned.prefill(prompt);
    using scope = scoped(backend);
    for (const layer of layers) {
      const [kept, own] = [await plain.retained(layer), await turned.retained(layer)];
      expect(own).toEqual(kept);
      const { inverseFrequencies } = made.model.decoder.rope(made.model.decoder.layers[layer] ?? fail(), prompt.length);
      const keys = scope.backend.kvRead(plain.cache.layer(layer).view, 'keys');
      const [heads = 0, count = 0, headDim = 0] = keys.shape;
      const turns = Int32Array.from(kept.flatMap((slots) => [...slots].map((position, slot) => slot - position)));
      const expected = scope.backend.rope(
        scope.backend.reshape(keys, [heads * count, headDim]),
        scope.backend.upload(turns, 'i32', [heads * count]),
        { heads: 1, inverseFrequencies },
      );
      const actual = await scope.backend.kvRead(turned.cache.layer(layer).view, 'keys').read();
      for (const [index, value] of (await expected.read()).entries()) expect(actual[index]).toBeCloseTo(value, 4);
    }
    expect(turned.statistics().entries).toBe(budget * smallModel.kvHeads * smallModel.layers);
    const lengths = layers.map((layer) => turned.cache.layer(layer).view.maxLength);
    expect(turned.cache.nextPosition).toBe(Math.max(...lengths));
    expect(new Set(lengths).size).toBeGreaterThan(1);
  });

  it('ratchet takes in what earlier layers lose later', async () => {
    const policy = registry.parse('ratchet(cake(window=4))');
    let run: PolicyRun | undefined;
    const watched: typeof policy = {
      ...policy,
      begin(context) {
        run = policy.begin(context);
        return run;
      },
    };
    using session = made.model.session({ policy: watched, budget });
    await session.prefill(prompt);
    const { tensors = {} } = run?.memory?.save() ?? {};
    for (const layer of layers) {
      const state = tensors[`states.${layer}`] ?? fail();
      // The first feature is 1 for every key: its sum counts them.
      const evicted = (await state.read())[(state.shape[2] ?? 0) - 1];
      expect(evicted).toBeCloseTo(prompt.length - session.cache.layer(layer).view.maxLength, 3);
    }
  });
});

function fail(): never {
  throw new Error('missing');
}
