import { createReferenceBackend } from '@kvsift/backend-reference';
import { parseBudget } from '@kvsift/policy';
import { snapkv } from '@kvsift/policy-snapkv';
import { conformance, contextOf, randomInputs, readSelection, sourceOf } from '@kvsift/policy-testkit';
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
});
