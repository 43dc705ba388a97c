import { createReferenceBackend } from '@kvsift/backend-reference';
import { conformance, contextOf, type LayerInputs, layerView, randomInputs, readSelection } from '@kvsift/policy-testkit';
import { describe, expect, it } from 'vitest';
import { arcWeights, minicache, upperLayers } from './minicache.js';

const backend = createReferenceBackend();
const length = 20;
const options = { budget: { kind: 'tokens', tokens: 8 }, layers: 2 } as const;
const budget = { perHead: 4, total: 8 };

/** A layer with keys and values of its own, in other directions than those of `inputs`, but not far from them. */
function near(inputs: LayerInputs, apart: number): LayerInputs {
  const other = randomInputs(99, { length: inputs.length });
  const bend = (x: Float32Array, y: Float32Array) => x.map((value, at) => 1.7 * value + apart * (y[at] ?? 0));
  return { ...inputs, keys: bend(inputs.keys, other.keys), values: bend(inputs.values, other.values) };
}

/** What is left of two layers, and the run that holds the rest. */
async function merged(lower: LayerInputs, upper: LayerInputs, parameters = {}) {
  const run = minicache({ start: 0, retained: 0.2, ...parameters }).begin(contextOf(lower, options));
  const views = [lower, upper].map((inputs, layer) => layerView(backend, inputs, { budget, observe: {}, layer, layers: 2 }));
  const revisions = await run.revise?.(1, (layer) => views[layer] ?? expect.fail());
  const [first, second] = await Promise.all(
    (revisions ?? []).map(({ decision }) => {
      if (decision === 'all' || 'selection' in decision) throw new Error('expected a selection');
      return readSelection(decision);
    }),
  );
  expect(second).toEqual(first);
  return { run, kept: first ?? [] };
}

/** Softmax attention of the last query of a head over keys and values, in plain numbers. */
function attention(query: readonly number[], keys: readonly number[][], values: readonly number[][]) {
  const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, value, c) => sum + value * (b[c] ?? 0), 0);
  const logits = keys.map((key) => dot(query, key) / Math.sqrt(query.length));
  const most = Math.max(...logits);
  const weights = logits.map((logit) => Math.exp(logit - most));
  const sum = weights.reduce((a, b) => a + b, 0);
  const output = query.map((_, c) => weights.reduce((total, weight, at) => total + weight * (values[at]?.[c] ?? 0), 0) / sum);
  return { output, logSumExp: most + Math.log(sum) };
}

const row = ({ headDim, length: entries }: LayerInputs, x: Float32Array, head: number, slot: number) => [
  ...x.subarray((head * entries + slot) * headDim, (head * entries + slot + 1) * headDim),
];
const size = (x: readonly number[]) => Math.hypot(...x);

/** A vector of the length of `own` in the direction at `t` on the arc from `a` to `b`. */
function onArc(a: readonly number[], b: readonly number[], own: readonly number[], t: number): number[] {
  const cosine = a.reduce((sum, value, c) => sum + value * (b[c] ?? 0), 0) / size(a) / size(b);
  const angle = Math.acos(Math.min(1, cosine));
  return a.map((value, c) => {
    const sum = (Math.sin((1 - t) * angle) * value) / size(a) + (Math.sin(t * angle) * (b[c] ?? 0)) / size(b);
    return (sum / Math.sin(angle)) * size(own);
  });
}

/** Output of a layer's attention for the last query: that of what is left, corrected by what the run holds. */
async function corrected(
  run: Awaited<ReturnType<typeof merged>>['run'],
  layer: number,
  inputs: LayerInputs,
  kept: readonly number[][],
) {
  const { queryHeads, headDim, keys, values, queries } = inputs;
  const rows = Array.from({ length: queryHeads }, (_, head) => row(inputs, queries, head, length - 1));
  const own = rows.map((query, head) => {
    const slots = kept[Math.floor(head / 2)] ?? [];
    const of = (x: Float32Array) => slots.map((slot) => row(inputs, x, Math.floor(head / 2), slot));
    return attention(query, of(keys), of(values));
  });
  const upload = (numbers: readonly number[], shape: readonly number[]) =>
    backend.upload(Float32Array.from(numbers), 'f32', shape);
  const found = run.compensation?.correct(
    layer,
    backend,
    upload(rows.flat(), [1, queryHeads * headDim]),
    upload(
      own.flatMap(({ output }) => output),
      [1, queryHeads * headDim],
    ),
    upload(
      own.map(({ logSumExp }) => logSumExp),
      [1, queryHeads],
    ),
  );
  return { rows, numbers: await found?.read() };
}

describe('minicache', () => {
  const subject = { definition: minicache.definition, make: () => minicache({ start: 0, retained: 0.25 }) };
  for (const { name, run } of conformance(subject, createReferenceBackend)) it(name, run);

  it.each([
    [8, 0.5, [5, 7]],
    [7, 0.5, [5]],
    [4, 0, [1, 3]],
    [3, 1, []],
  ])('merges the layers of %i from %f on two by two', (layers, start, expected) => {
    const { model } = contextOf(randomInputs(1), options);
    expect(upperLayers({ model: { ...model, layers } }, start)).toEqual(expected);
    const windows = Array.from({ length: layers }, (_, layer) => (layer === layers - 1 ? 16 : undefined));
    expect(upperLayers({ model: { ...model, layers, windows } }, start)).toEqual(expected.filter((upper) => upper < layers - 1));
  });

  it('leaves the tokens whose directions differ most, and the last one', async () => {
    const lower = randomInputs(5, { length });
    const upper = near(lower, 0.5);
    const { kept, run } = await merged(lower, upper);
    kept.forEach((slots, head) => {
      const alike = (part: 'keys' | 'values', slot: number) => {
        const [a, b] = [row(lower, lower[part], head, slot), row(upper, upper[part], head, slot)];
        return a.reduce((sum, value, c) => sum + value * (b[c] ?? 0), 0) / size(a) / size(b);
      };
      const order = [...Array(length - 1).keys()].sort(
        (a, b) => alike('keys', a) + alike('values', a) - alike('keys', b) - alike('values', b),
      );
      expect(slots).toEqual([...order.slice(0, 3), length - 1].sort((a, b) => a - b));
    });
    expect(run.held?.()).toEqual({ entries: 2 * 2 * 16, bytes: 4 * 2 * 16 * (2 * 8 + 4) });
    run.dispose();
  });

  it.each([0.6, 0, 1])('both layers attend to directions on the arc, at %f, with lengths of their own', async (interpolation) => {
    const lower = randomInputs(5, { length });
    const upper = near(lower, 0.5);
    const { kept, run } = await merged(lower, upper, { interpolation });
    for (const [layer, inputs] of [lower, upper].entries()) {
      const { rows, numbers } = await corrected(run, layer, inputs, kept);
      rows.forEach((query, head) => {
        const group = Math.floor(head / 2);
        const slots = kept[group] ?? [];
        const seen = (part: 'keys' | 'values') =>
          Array.from({ length }, (_, slot) => {
            const own = row(inputs, inputs[part], group, slot);
            if (slots.includes(slot)) return own;
            return onArc(row(lower, lower[part], group, slot), row(upper, upper[part], group, slot), own, interpolation);
          });
        const { output } = attention(query, seen('keys'), seen('values'));
        for (const [c, value] of output.entries()) expect(numbers?.[head * 8 + c]).toBeCloseTo(value, 4);
      });
    }
    run.dispose();
  });

  it('changes nothing where both layers point alike, whatever their lengths', async () => {
    const lower = randomInputs(6, { length });
    const upper = near(lower, 0);
    const { kept, run } = await merged(lower, upper);
    const { rows, numbers } = await corrected(run, 1, upper, kept);
    rows.forEach((query, head) => {
      const of = (x: Float32Array) => Array.from({ length }, (_, slot) => row(upper, x, Math.floor(head / 2), slot));
      const { output } = attention(query, of(upper.keys), of(upper.values));
      for (const [c, value] of output.entries()) expect(numbers?.[head * 8 + c]).toBeCloseTo(value, 4);
    });
    run.dispose();
  });

  it('weighs opposite and equal directions on the line', () => {
    expect(arcWeights([1, -1, Number.NaN], 0.25)).toEqual({
      lower: Float32Array.of(0.75, 0.75, 0.75),
      upper: Float32Array.of(0.25, 0.25, 0.25),
    });
  });
});
