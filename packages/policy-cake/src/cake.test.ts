import { createReferenceBackend } from '@kvsift/backend-reference';
import { attentionRow, conformance, contextOf, layerView, randomInputs, readSelection } from '@kvsift/policy-testkit';
import { describe, expect, it } from 'vitest';
import { cake } from './cake.js';

describe('cake', () => {
  const subject = { definition: cake.definition, make: () => cake({ window: 8 }) };
  for (const { name, run } of conformance(subject, createReferenceBackend)) it(name, run);

  it('drops, while decoding, what the new token attends to least before the window', async () => {
    const backend = createReferenceBackend();
    const inputs = randomInputs(6, { length: 21 });
    const { queryHeads, kvHeads, length } = inputs;
    const [window, perHead] = [4, 20];
    const context = { ...contextOf(inputs, { budget: { kind: 'tokens', tokens: perHead } }), promptLength: 60 };
    using run = cake({ window, kernelSize: 1, decode: true }).begin(context);
    const view = layerView(backend, inputs, { budget: { perHead, total: perHead * kvHeads }, observe: { queries: { last: 1 } } });
    const decision = await run.decode?.step(view);
    if (decision === undefined || decision === 'all' || 'selection' in decision) throw new Error('expected a selection');
    const kept = await readSelection(decision);
    for (let head = 0; head < kvHeads; head++) {
      const paid = new Float64Array(length);
      for (let query = 0; query < queryHeads; query++) {
        if (Math.floor((query * kvHeads) / queryHeads) !== head) continue;
        for (const [key, share] of attentionRow(inputs, query, length - 1).entries()) paid[key] = (paid[key] ?? 0) + share;
      }
      const past = Array.from({ length: length - window }, (_, key) => key);
      const least = past.reduce((worst, key) => ((paid[key] ?? 0) < (paid[worst] ?? 0) ? key : worst), 0);
      expect(kept[head]).toEqual(Array.from({ length }, (_, key) => key).filter((key) => key !== least));
    }
  });
});
