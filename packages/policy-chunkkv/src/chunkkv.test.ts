import { createReferenceBackend } from '@kvsift/backend-reference';
import { entryRow, filled, parseBudget, resolveBudgets, type Scoring } from '@kvsift/policy';
import { snapkv } from '@kvsift/policy-snapkv';
import { conformance, contextOf, evict, randomInputs, readSelection, sourceOf } from '@kvsift/policy-testkit';
import { scoped } from '@kvsift/tensor';
import { describe, expect, it } from 'vitest';
import { chunkkv } from './chunkkv.js';

const layers = 5;

/** What each layer keeps of entries of its own, as in the engine: the tensors of a layer are gone before the next. */
async function keptByLayer(options: { reuse: number; whole: boolean }): Promise<number[][][]> {
  const policy = chunkkv({ policy: snapkv({ window: 8 }), chunk: 5, ...options });
  const inputs = Array.from({ length: layers }, (_, layer) => randomInputs(layer + 1, { length: 160 }));
  const [first] = inputs;
  if (first === undefined) throw new Error('no layers');
  await using backend = createReferenceBackend();
  using run = policy.begin(contextOf(first, { budget: parseBudget('40%'), layers }));
  const kept: number[][][] = [];
  for (const [layer, own] of inputs.entries()) {
    using scope = scoped(backend);
    const budget = run.budgets[layer];
    if (budget === undefined) throw new Error('no budget');
    const decision = await run.select(sourceOf(scope, own, { layer, layers }).view(run.observe, budget));
    if (decision === 'all' || 'selection' in decision) throw new Error('no selection');
    kept.push(await readSelection(decision));
  }
  return kept;
}

describe('chunkkv', () => {
  const subject = { definition: chunkkv.definition, make: () => chunkkv({ policy: snapkv({ window: 8 }), chunk: 5 }) };
  for (const { name, run } of conformance(subject, createReferenceBackend)) it(name, run);

  it.each([false, true])('keeps in each group of layers what its first layer chose (whole chunks: %s)', async (whole) => {
    const alone = await keptByLayer({ reuse: 1, whole });
    expect(new Set(alone.map((kept) => JSON.stringify(kept))).size).toBe(layers);
    expect(await keptByLayer({ reuse: 2, whole })).toEqual([alone[0], alone[0], alone[2], alone[2], alone[4]]);
    expect(await keptByLayer({ reuse: 9, whole })).toEqual(Array(layers).fill(alone[0]));
  });

  it('sums rank a shorter last chunk below what its mean does', async () => {
    await using backend = createReferenceBackend();
    // Chunks of 5, the last of 1 whose entry scores highest of all.
    const inputs = randomInputs(1, { length: 36 });
    const scoring: Scoring = {
      protect: { first: 0, last: 0 },
      allocate: resolveBudgets,
      start: () => ({
        observe: {},
        score: ({ backend: place, model, length }) =>
          place.zip(
            filled(place, [model.kvHeads, 1], 0),
            entryRow(place, length, (entry) => (entry === 35 ? 1.5 : 1)),
            'add',
          ),
      }),
    };
    const last = async (reduction: 'mean' | 'sum') => {
      const policy = chunkkv({ policy: { ...snapkv(), scoring }, chunk: 5, reduction });
      const { kept } = await evict(backend, policy, inputs, { budget: { kind: 'tokens', tokens: 11 } });
      return kept.map((slots) => slots.includes(35));
    };
    expect(await last('mean')).toEqual([true, true]);
    expect(await last('sum')).toEqual([false, false]);
  });
});
