import { createReferenceBackend } from '@kvsift/backend-reference';
import type { LayerView } from '@kvsift/policy';
import { conformance, contextOf, type LayerInputs, layerView, randomInputs, readSelection } from '@kvsift/policy-testkit';
import { describe, expect, it } from 'vitest';
import { extendBounds, upperBounds } from './pages.js';
import { quest } from './quest.js';

const backend = createReferenceBackend();
const inputs = randomInputs(1, { length: 61 });

/** The view of a decode step: the last row of a layer of `length` entries. */
function stepView(length: number): LayerView {
  const cut = (x: Float32Array, heads: number) =>
    Float32Array.from(
      { length: heads * length * 8 },
      (_, index) => x[Math.floor(index / (length * 8)) * 61 * 8 + (index % (length * 8))] ?? 0,
    );
  const shorter: LayerInputs = {
    ...inputs,
    length,
    queries: cut(inputs.queries, 4),
    keys: cut(inputs.keys, 2),
    values: cut(inputs.values, 2),
  };
  return layerView(backend, shorter, {
    budget: { perHead: length, total: 2 * length },
    observe: { queries: { last: 1 } },
    layer: 0,
  });
}

describe('quest', () => {
  const subject = { definition: quest.definition, make: () => quest() };
  for (const { name, run } of conformance(subject, createReferenceBackend)) it(name, run);

  const start = (tokens: number) =>
    quest({ pageSize: 8, fullLayers: 0 }).begin(contextOf(inputs, { budget: { kind: 'tokens', tokens } }));

  it('reads whole pages, the newest always', async () => {
    using run = start(24);
    const chosen = run.retrieval?.choose(stepView(61));
    if (chosen === undefined || chosen === 'all') throw new Error('expected a selection');
    for (const slots of await readSelection(chosen)) {
      expect(slots.slice(-5)).toEqual([56, 57, 58, 59, 60]);
      expect(slots).toHaveLength(2 * 8 + 5);
      for (let page = 0; page < 7; page++) expect([0, 8]).toContain(slots.filter((slot) => Math.floor(slot / 8) === page).length);
    }
  });

  it('reads everything where the budget covers it', () => {
    using run = start(61);
    expect(run.retrieval?.choose(stepView(61))).toBe('all');
  });

  it('mean: heads of a group agree on the mean of their bounds', async () => {
    const view = stepView(61);
    if (view.queries === undefined) throw new Error('no query');
    const bounds = extendBounds(view, 8, undefined);
    const rows = await view.queries.read();
    // One query head at a time in both places of its group.
    const alone = await Promise.all(
      [0, 1].map(async (member) => {
        const twice = Float32Array.from(rows, (_, at) => rows[(Math.floor(at / 16) * 2 + member) * 8 + (at % 8)] ?? 0);
        return upperBounds(backend, backend.upload(twice, 'f32', [1, 32]), bounds).read();
      }),
    );
    const mean = await upperBounds(backend, view.queries, bounds, 'mean').read();
    for (const [page, value] of mean.entries())
      expect(value).toBeCloseTo(((alone[0]?.[page] ?? 0) + (alone[1]?.[page] ?? 0)) / 2, 5);
  });

  it('none: every query head reads the pages of its own bounds, the newest among them', async () => {
    const view = stepView(61);
    using run = quest({ pageSize: 8, fullLayers: 0, profile: 'reference' }).begin(
      contextOf(inputs, { budget: { kind: 'tokens', tokens: 24 } }),
    );
    const chosen = run.retrieval?.choose(view);
    if (chosen === undefined || chosen === 'all' || view.queries === undefined) throw new Error('expected a selection');
    const bounds = await upperBounds(backend, view.queries, extendBounds(view, 8, undefined), 'none').read();
    const heads = await readSelection(chosen);
    expect(heads).toHaveLength(4);
    heads.forEach((slots, head) => {
      const own = [...bounds.subarray(head * 8, head * 8 + 7)];
      const best = [...own.keys()].sort((a, b) => (own[b] ?? 0) - (own[a] ?? 0)).slice(0, 2);
      expect([...new Set(slots.map((slot) => Math.floor(slot / 8)))]).toEqual([...best.sort((a, b) => a - b), 7]);
    });
    expect(new Set(heads.map(String)).size).toBeGreaterThan(2);
  });

  it('bounds every product of a page, also after entries came', async () => {
    const first = extendBounds(stepView(43), 8, undefined);
    const view = stepView(61);
    const grown = extendBounds(view, 8, first);
    const anew = extendBounds(view, 8, undefined);
    expect(await grown.low.read()).toEqual(await anew.low.read());
    expect(await grown.high.read()).toEqual(await anew.high.read());
    if (view.queries === undefined) throw new Error('no query');
    const bounds = await upperBounds(backend, view.queries, grown).read();
    const q = await view.queries.read();
    for (let head = 0; head < 4; head++)
      for (let slot = 0; slot < 61; slot++) {
        const group = Math.floor(head / 2);
        let product = 0;
        for (let c = 0; c < 8; c++) product += (q[head * 8 + c] ?? 0) * (inputs.keys[(group * 61 + slot) * 8 + c] ?? 0);
        expect(bounds[group * 8 + Math.floor(slot / 8)]).toBeGreaterThanOrEqual(product - 1e-4);
      }
  });
});
