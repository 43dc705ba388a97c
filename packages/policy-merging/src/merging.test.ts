import { createReferenceBackend } from '@kvsift/backend-reference';
import { knorm } from '@kvsift/policy-knorm';
import { attentionRow, conformance, evict, type LayerInputs, randomInputs } from '@kvsift/policy-testkit';
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

  /** The evicted entries of a head, most alike first: how much, and which kept one, by place. */
  function matches({ length, headDim, keys }: LayerInputs, slots: readonly number[], head: number) {
    const own = (slot: number) => [...keys.subarray((head * length + slot) * headDim, (head * length + slot + 1) * headDim)];
    return Array.from({ length }, (_, slot) => slot)
      .filter((slot) => !slots.includes(slot))
      .map((slot) => {
        const cosines = slots.map((target) => cosine(own(slot), own(target)));
        const most = Math.max(...cosines);
        return { most, target: cosines.indexOf(most) };
      })
      .sort((one, other) => other.most - one.most);
  }

  /** Places of the kept entries of a head that were changed. */
  function changedOf(
    { length, headDim, ...all }: LayerInputs,
    part: 'keys' | 'values',
    after: Float32Array,
    slots: readonly number[],
    head: number,
  ) {
    const row = (from: Float32Array, at: number) => from.subarray(at * headDim, (at + 1) * headDim);
    return slots.flatMap((slot, at) => {
      const before = row(all[part], head * length + slot);
      return row(after, head * slots.length + at).some((value, c) => value !== before[c]) ? [at] : [];
    });
  }

  const targetsOf = (merged: readonly { readonly target: number }[]) =>
    [...new Set(merged.map(({ target }) => target))].sort((a, b) => a - b);

  it.each([
    [64, 48],
    [300, 250],
  ])('d2o merges what is no less alike than the evicted entries on average, of %i tokens', async (length, tokens) => {
    const inputs = randomInputs(8, { length });
    const policy = merging({ policy: knorm(), method: 'd2o' });
    const { kept, keys = inputs.keys } = await evict(createReferenceBackend(), policy, inputs, {
      budget: { kind: 'tokens', tokens },
    });
    kept.forEach((slots, head) => {
      const best = matches(inputs, slots, head);
      const mean = best.reduce((sum, { most }) => sum + most, 0) / best.length;
      const expected = targetsOf(best.filter(({ most }) => most >= mean));
      expect(changedOf(inputs, 'keys', keys, slots, head)).toEqual(expected);
    });
  });

  it.each([
    ['values', 0.25],
    ['weighted', 0.1],
    ['pivot', 0],
  ] as const)('%s merges no more than the share %f of what is evicted, the most alike', async (method, fraction) => {
    const inputs = randomInputs(9, { length: 200 });
    const policy = merging({ policy: knorm(), method, fraction });
    const { kept, values = inputs.values } = await evict(createReferenceBackend(), policy, inputs, {
      budget: { kind: 'tokens', tokens: 120 },
    });
    kept.forEach((slots, head) => {
      const expected = targetsOf(matches(inputs, slots, head).slice(0, Math.round(fraction * 80)));
      expect(changedOf(inputs, 'values', values, slots, head)).toEqual(expected);
    });
  });

  /** What the last queries pay each entry of a KV head, mean over its query heads. */
  function paidBy(inputs: LayerInputs, window: number, head: number): number[] {
    const paid = new Array<number>(inputs.length).fill(0);
    for (const query of [2 * head, 2 * head + 1])
      for (let row = inputs.length - window; row < inputs.length; row++)
        for (const [key, share] of attentionRow(inputs, query, row).entries()) paid[key] = (paid[key] ?? 0) + share / 2;
    return paid;
  }

  it.each(['next', 'most'] as const)('cam without chance merges what got more attention than %s', async (reference) => {
    const inputs = randomInputs(10, { length: 40 });
    const { length, headDim } = inputs;
    const options = { window: 5, sinks: 2, neighbours: 3 };
    const policy = merging({ policy: knorm(), method: 'cam', draw: false, reference, ...options });
    const { kept, values = inputs.values } = await evict(createReferenceBackend(), policy, inputs, {
      budget: { kind: 'tokens', tokens: 24 },
    });
    kept.forEach((slots, head) => {
      const paid = paidBy(inputs, options.window, head);
      const at = (slot: number) => paid[slot] ?? 0;
      const ends = [...Array(2).keys(), ...Array.from({ length: 5 }, (_, back) => length - 1 - back)];
      const most = Math.max(...ends.map(at));
      const expected = slots.map((slot) => [
        ...inputs.values.subarray((head * length + slot) * headDim, (head * length + slot + 1) * headDim),
      ]);
      let merged = 0;
      for (let slot = 0; slot < length; slot++) {
        const next = slots.filter((other) => other > slot).slice(0, options.neighbours);
        if (slots.includes(slot) || next.length === 0) continue;
        const rival = reference === 'most' ? most : next.reduce((sum, other) => sum + at(other), 0) / next.length;
        if (at(slot) <= rival) continue;
        merged++;
        for (const other of next) {
          const row = expected[slots.indexOf(other)];
          for (let c = 0; row && c < headDim; c++)
            row[c] = (row[c] ?? 0) + (inputs.values[(head * length + slot) * headDim + c] ?? 0) / next.length;
        }
      }
      expected.flat().forEach((value, index) => {
        expect(values[head * slots.length * headDim + index]).toBeCloseTo(value, 5);
      });
      if (reference === 'next') expect(merged).toBeGreaterThan(2);
    });
  });

  it('cam merges as often as attention says, and alike for one seed', async () => {
    const length = 80;
    const inputs = { ...randomInputs(11, { length }), values: new Float32Array(2 * length * 8).fill(1) };
    const options = { window: 4, neighbours: 4 };
    const policy = merging({ policy: knorm(), method: 'cam', ...options });
    const run = (seed: number) => evict(createReferenceBackend(), policy, inputs, { budget, seed });
    expect((await run(3)).values).toEqual((await run(3)).values);
    const seeds = 400;
    let sum = 0;
    for (let seed = 0; seed < seeds; seed++) sum += (await run(seed)).values?.reduce((a, b) => a + b, 0) ?? 0;
    const { kept } = await run(0);
    // Each merge adds one whole value, however many share it.
    let merges = 0;
    let variance = 0;
    kept.forEach((slots, head) => {
      const paid = paidBy(inputs, options.window, head);
      for (let slot = 0; slot < length; slot++) {
        const next = slots.filter((other) => other > slot).slice(0, options.neighbours);
        if (slots.includes(slot) || next.length === 0) continue;
        const mean = next.reduce((all, other) => all + (paid[other] ?? 0), 0) / next.length;
        const chance = Math.min(1, (paid[slot] ?? 0) / mean);
        merges += chance;
        variance += chance * (1 - chance);
      }
    });
    expect(variance).toBeGreaterThan(0.5);
    const expected = 8 * (kept.flat().length + merges);
    expect(Math.abs(sum / seeds - expected)).toBeLessThan(4 * 8 * Math.sqrt(variance / seeds));
  });
});

function cosine(a: readonly number[], b: readonly number[]): number {
  const product = a.reduce((sum, value, at) => sum + value * (b[at] ?? 0), 0);
  return product / (Math.hypot(...a) * Math.hypot(...b));
}
