import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createReferenceBackend } from '@kvsift/backend-reference';
import { conformance, evict, type LayerInputs, randomInputs, scoresOf, viewNumbers } from '@kvsift/policy-testkit';
import { writeSafetensors } from '@kvsift/weights';
import { afterAll, describe, expect, it } from 'vitest';
import { expectedAttention } from './expected-attention.js';

const backend = createReferenceBackend();
const folder = mkdtempSync(join(tmpdir(), 'kvsift-expected-attention-'));
afterAll(() => rmSync(folder, { recursive: true }));
const budget = { kind: 'tokens', tokens: 24 } as const;

async function statisticsFile(
  name: string,
  [layers, heads, headDim]: readonly [number, number, number],
  mean: Float32Array,
  covariance: Float32Array,
): Promise<string> {
  const path = join(folder, `${name}.safetensors`);
  await writeSafetensors(
    path,
    [
      { name: 'mean', dtype: 'F32', shape: [layers, heads, headDim], data: mean },
      { name: 'covariance', dtype: 'F32', shape: [layers, heads, headDim, headDim], data: covariance },
    ],
    {},
  );
  return path;
}

/** The prompt's own moments behind the sinks, as the policy finds them. */
async function ownMoments(inputs: LayerInputs): Promise<[mean: Float32Array, covariance: Float32Array]> {
  const of = (part: 'mean' | 'covariance') =>
    viewNumbers(backend, inputs, { queriesBeforeRotation: 'all' }, (view) => {
      if (view.queriesBeforeRotation === undefined) throw new Error('no queries');
      return view.backend.covariance(view.queriesBeforeRotation, { heads: inputs.queryHeads, first: 4 })[part];
    });
  return [await of('mean'), await of('covariance')];
}

describe('expectedAttention', () => {
  const subject = { definition: expectedAttention.definition, make: () => expectedAttention({ futurePositions: 16 }) };
  for (const { name, run } of conformance(subject, createReferenceBackend)) it(name, run);
});

describe('expectedAttention with statistics', async () => {
  const inputs = randomInputs(7);
  const { queryHeads, headDim } = inputs;
  const same = (_: unknown, at: number) => Math.sin(at % headDim);
  const flat = (_: unknown, at: number) => (at % (headDim + 1) === 0 ? 0.5 : 0);
  const kit = await statisticsFile(
    'kit',
    [4, queryHeads, headDim],
    Float32Array.from({ length: 4 * queryHeads * headDim }, same),
    Float32Array.from({ length: 4 * queryHeads * headDim ** 2 }, (_, at) => flat(_, at % headDim ** 2)),
  );
  const subject = { definition: expectedAttention.definition, make: () => expectedAttention({ statistics: kit }) };
  for (const { name, run } of conformance(subject, createReferenceBackend)) it(name, run);

  it.each([true, false])(
    'scores as by the prompt where these are the moments of the prompt (covariance %s)',
    async (covariance) => {
      const [mean, products] = await ownMoments(inputs);
      const path = await statisticsFile('own', [1, queryHeads, headDim], mean, products);
      const own = await scoresOf(backend, expectedAttention({ covariance }), inputs, { budget });
      const stored = await scoresOf(backend, expectedAttention({ covariance, statistics: path }), inputs, { budget });
      for (const [at, score] of stored.entries()) expect(score).toBeCloseTo(own[at] ?? 0, 6);
    },
  );

  it('does not look at the queries of the prompt, and takes those of its layer', async () => {
    const { queriesBeforeRotation: _, ...without } = inputs;
    const options = { budget, layers: 4, layer: 3 };
    const policy = expectedAttention({ statistics: kit });
    const { kept } = await evict(backend, policy, without, options);
    expect(kept).toEqual((await evict(backend, policy, inputs, options)).kept);
    const own = queryHeads * headDim;
    const last = await statisticsFile(
      'last',
      [4, queryHeads, headDim],
      Float32Array.from({ length: 4 * own }, (__, at) => (at < 3 * own ? 9 * Math.cos(at) : Math.sin(at % headDim))),
      Float32Array.from({ length: 4 * own * headDim }, (__, at) => flat(__, at % headDim ** 2)),
    );
    expect((await evict(backend, expectedAttention({ statistics: last }), inputs, options)).kept).toEqual(kept);
  });

  it.each([
    ['of another model', [2, 4, 8] as const, 0, /mean is \[2, 4, 8\], this model needs \[1, 4, 8\]/],
    ['that are no numbers', [1, 4, 8] as const, Number.NaN, /mean holds NaN at 0, expected finite numbers/],
  ])('refuses statistics %s', async (name, shape, value, message) => {
    const size = shape[0] * shape[1] * shape[2];
    const path = await statisticsFile(name, shape, new Float32Array(size).fill(value), new Float32Array(8 * size));
    await expect(evict(backend, expectedAttention({ statistics: path }), inputs, { budget })).rejects.toThrow(message);
  });
});
