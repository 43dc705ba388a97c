import { createReferenceBackend } from '@kvsift/backend-reference';
import { attentionRow, conformance, contextOf, layerView, randomInputs, readSelection } from '@kvsift/policy-testkit';
import { describe, expect, it } from 'vitest';
import { type LazinessTest, laziness, simlayerkv } from './simlayerkv.js';

const backend = createReferenceBackend();
const inputs = randomInputs(4, { length: 40 });
const { queryHeads, kvHeads, length } = inputs;

/** Mean over heads and last rows of what a row pays to keys that `counts` says. */
function meanPaid(rows: number, counts: (key: number, row: number) => boolean): number {
  let sum = 0;
  for (let head = 0; head < queryHeads; head++)
    for (let row = length - rows; row < length; row++)
      for (const [key, share] of attentionRow(inputs, head, row).entries()) if (counts(key, row)) sum += share;
  return sum / (queryHeads * rows);
}

const viewOf = (last: number) =>
  layerView(backend, inputs, { budget: { perHead: length, total: kvHeads * length }, observe: { queries: { last } } });

describe('simlayerkv', () => {
  const subject = { definition: simlayerkv.definition, make: () => simlayerkv({ threshold: 0.1, recent: 16 }) };
  for (const { name, run } of conformance(subject, createReferenceBackend)) it(name, run);

  it.each<[LazinessTest, (key: number, row: number) => boolean]>([
    [{ sinks: 3, recent: 9, tested: 0, lastQueries: 4, columns: 'before' }, (key) => key < 3 || (key >= 27 && key < 36)],
    [{ sinks: 3, recent: 9, tested: 5, lastQueries: 4, columns: 'before' }, (key) => key < 3 || (key >= 31 && key < 36)],
    [{ sinks: 3, recent: 9, tested: 5, lastQueries: 4, columns: 'own' }, (key, row) => key < 3 || key > row - 5],
    // Sinks and recent tokens meet: none counts twice.
    [{ sinks: 30, recent: 20, tested: 0, lastQueries: 2, columns: 'own' }, () => true],
  ])('measures what the test names: %o', async (test, counts) => {
    expect(await laziness(viewOf(test.lastQueries), test)).toBeCloseTo(meanPaid(test.lastQueries, counts), 5);
  });

  it('decides at the first decoded token and never again', async () => {
    const context = contextOf(inputs, { budget: { kind: 'tokens', tokens: 1 }, layers: 2 });
    const score = meanPaid(1, (key, row) => key < 2 || key > row - 6);
    for (const [threshold, lazy] of [
      [score - 0.001, true],
      [score + 0.001, false],
    ] as const) {
      using run = simlayerkv({ when: 'first-step', threshold, sinks: 2, recent: 6 }).begin(context);
      const { decode } = run;
      if (decode === undefined) throw new Error('no decode rule');
      expect(run.budgets[0]?.perHead).toBe(length);
      using twin = run.fork?.() ?? run;
      const decision = await decode.step(viewOf(1));
      if (!lazy) expect(decision).toBe('all');
      else if (decision === 'all' || 'selection' in decision) throw new Error('expected a selection');
      else for (const slots of await readSelection(decision)) expect(slots).toEqual([0, 1, 34, 35, 36, 37, 38, 39]);
      expect(await decode.step(viewOf(1))).toBe('all');
      expect((await twin.decode?.step(viewOf(1))) === 'all').toBe(!lazy);
    }
  });

  it('leaves short texts alone, and refuses to keep fewer than one recent token', async () => {
    using run = simlayerkv({ when: 'first-step', threshold: 0, sinks: 3, recent: 36 }).begin(
      contextOf(inputs, { budget: { kind: 'tokens', tokens: 1 } }),
    );
    expect(await run.decode?.step(viewOf(1))).toBe('all');
    expect(() => simlayerkv({ recent: 4, lastQueries: 4, kept: 'recent-minus-queries' })).toThrowError(
      expect.objectContaining({ code: 'policy_invalid' }),
    );
  });
});
