import { createReferenceBackend } from '@kvsift/backend-reference';
import { gatherView } from '@kvsift/policy';
import { attentionRow, cacheOf, randomInputs } from '@kvsift/policy-testkit';
import { describe, expect, it } from 'vitest';
import { viewOfHeads } from './repeated-heads.js';
import { madeModel, madePrompt } from './testing/made-model.js';
import { registry } from './testing/policy-expressions.js';

describe('viewOfHeads', () => {
  it('lets every query head read what it chose of its KV head', async () => {
    const backend = createReferenceBackend();
    const inputs = randomInputs(2, { length: 12 });
    const { queryHeads, headDim, length, values } = inputs;
    const chosen = [
      [0, 3, 11],
      [1, 2, 11],
      [4, 9, 11],
      [0, 10, 11],
    ];
    const selection = backend.selection(Int32Array.from(chosen.flat()), Int32Array.from([0, 3, 6, 9, 12]));
    const last = new Float32Array(queryHeads * headDim);
    for (let head = 0; head < queryHeads; head++)
      last.set(
        inputs.queries.subarray((head * length + length - 1) * headDim, (head * length + length) * headDim),
        head * headDim,
      );
    const view = gatherView(backend, viewOfHeads(backend, cacheOf(backend, inputs), selection), selection);
    const { output } = backend.attention(backend.upload(last, 'f32', [1, queryHeads * headDim]), [{ view, rows: 1 }], {
      queryHeads,
      scale: 1 / Math.sqrt(headDim),
    });
    const found = await output.read();
    chosen.forEach((slots, head) => {
      const all = attentionRow(inputs, head, length - 1);
      const sum = slots.reduce((total, slot) => total + (all[slot] ?? 0), 0);
      for (let c = 0; c < headDim; c++) {
        const value = (slot: number) => values[(Math.floor(head / 2) * length + slot) * headDim + c] ?? 0;
        const expected = slots.reduce((total, slot) => total + ((all[slot] ?? 0) / sum) * value(slot), 0);
        expect(found[head * headDim + c]).toBeCloseTo(expected, 5);
      }
    });
  });

  const made = madeModel();
  it('quest reads other pages for every query head, alike in every layout', async () => {
    const logits = async (expression: string, layout: 'dense' | 'flattened' | 'paged') => {
      using session = made.model.session({ policy: registry.parse(expression), budget: 12, layout, blockSize: 4 });
      await session.prefill(madePrompt(48));
      await session.force(5);
      return await session.force(9);
    };
    const own = 'quest(pageSize=4, fullLayers=0, groupReduction=none)';
    const dense = await logits(own, 'dense');
    for (const layout of ['flattened', 'paged'] as const) expect(await logits(own, layout)).toEqual(dense);
    expect(await logits('quest(pageSize=4, fullLayers=0)', 'dense')).not.toEqual(dense);
  });
});
