import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createReferenceBackend } from '@kvsift/backend-reference';
import { streamingLlm } from '@kvsift/policy-streaming-llm';
import { conformance, contextOf, evict, layerView, randomInputs } from '@kvsift/policy-testkit';
import { uniformAt } from '@kvsift/tensor';
import { writeSafetensors } from '@kvsift/weights';
import { afterAll, describe, expect, it } from 'vitest';
import { learnedMap, placeWeights, readLearned } from './learned.js';
import { ratchet } from './ratchet.js';

const folder = mkdtempSync(join(tmpdir(), 'kvsift-ratchet-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** The map from which training begins: rows of normally distributed numbers, the same for queries and keys of every head. */
async function performerMap(name: string, layers: number, kvHeads: number, features: number, headDim: number): Promise<string> {
  const normal = (at: number) => {
    const key = { seed: 5, sequence: 0, layer: 0, purpose: 0 };
    return Math.sqrt(-2 * Math.log(uniformAt(key, 0, 2 * at))) * Math.cos(2 * Math.PI * uniformAt(key, 0, 2 * at + 1));
  };
  const one = Float32Array.from({ length: features * headDim }, (_, at) => normal(at));
  const data = Float32Array.from({ length: layers * kvHeads * one.length }, (_, at) => one[at % one.length] ?? 0);
  const bias = new Float32Array(layers * kvHeads * features).fill(-Math.log(features) / 2);
  const path = join(folder, name);
  await writeSafetensors(path, [
    { name: 'queries', dtype: 'F32', shape: [layers, kvHeads, features, headDim], data },
    { name: 'keys', dtype: 'F32', shape: [layers, kvHeads, features, headDim], data },
    { name: 'queryBias', dtype: 'F32', shape: [layers, kvHeads, features], data: bias },
    { name: 'keyBias', dtype: 'F32', shape: [layers, kvHeads, features], data: bias },
  ]);
  return path;
}

describe('ratchet', async () => {
  const subject = { definition: ratchet.definition, make: () => ratchet({ policy: streamingLlm() }) };
  for (const { name, run } of conformance(subject, createReferenceBackend)) it(name, run);

  const weights = await performerMap('kit.safetensors', 4, 2, 16, 8);
  const learned = {
    definition: ratchet.definition,
    make: () => ratchet({ policy: streamingLlm(), features: 'learned', weights }),
  };
  for (const { name, run } of conformance(learned, createReferenceBackend)) it(`learned: ${name}`, run);

  it('begins training as an unbiased estimate of exp(q·k / √d)', async () => {
    const backend = createReferenceBackend();
    const shape = { layers: 1, kvHeads: 1, queryHeads: 1, headDim: 4, hidden: 4, entryBytes: 1 };
    const map = await readLearned(await performerMap('wide.safetensors', 1, 1, 4096, 4), shape);
    const [q, k] = [
      [0.3, -0.5, 0.2, 0.9],
      [-0.4, 0.8, 0.6, 0.5],
    ];
    const phi = async (x: readonly number[], side: 'queries' | 'keys') => {
      const row = backend.upload(Float32Array.from(x), 'f32', [1, 1, 4]);
      return [
        ...(await backend.evaluate(learnedMap(backend, row, placeWeights(backend, { layer: 0, side }, map, shape))).read()),
      ];
    };
    const [a, b] = [await phi(q ?? [], 'queries'), await phi(k ?? [], 'keys')];
    const product = a.reduce((sum: number, value, at) => sum + value * (b[at] ?? 0), 0);
    const dot = (q ?? []).reduce((sum, value, at) => sum + value * (k?.[at] ?? 0), 0);
    expect(product).toBeCloseTo(Math.exp(dot / 2), 1);
  });

  it('keeps the weights of its steps on the device', async () => {
    const backend = createReferenceBackend();
    const inputs = randomInputs(1);
    const context = contextOf(inputs, { budget: { kind: 'tokens', tokens: 16 } });
    const own = await performerMap('one.safetensors', 1, 2, 16, 8);
    const run = ratchet({ policy: streamingLlm(), features: 'learned', weights: own }).begin(context);
    await run.select(layerView(backend, inputs, { budget: run.budgets[0] ?? { perHead: 16, total: 32 }, observe: {} }));
    const twin = run.fork?.();
    run.dispose();
    const bringsNothing = new Proxy(backend, {
      get: (target, name) => {
        if (name === 'upload') throw new Error('a step uploads');
        const value = Reflect.get(target, name, target);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
    const q = backend.upload(new Float32Array(4 * 8).fill(0.5), 'f32', [1, 4 * 8]);
    const sums = backend.upload(new Float32Array(4), 'f32', [1, 4]);
    const corrected = twin?.compensation?.correct(0, bringsNothing, q, q, sums);
    expect([...((await corrected?.read()) ?? [])].every(Number.isFinite)).toBe(true);
    const held = backend.memory().bytes;
    twin?.dispose();
    // The state, a weight and a bias of each KV head.
    expect(held - backend.memory().bytes).toBe(4 * 2 * 16 * (8 + 1 + 8 + 1));
  });

  it('refuses a map of another model, and half of the option', async () => {
    const other = await performerMap('other.safetensors', 1, 3, 16, 8);
    const policy = ratchet({ policy: streamingLlm(), features: 'learned', weights: other });
    await expect(
      evict(createReferenceBackend(), policy, randomInputs(1), { budget: { kind: 'tokens', tokens: 16 } }),
    ).rejects.toThrow(/queries is \[1, 3, 16, 8\], this model needs \[1, 2, 16, 8\]/);
    expect(() => ratchet({ features: 'learned' })).toThrow(/go together/);
  });

  it('takes the softmax scale of the model for its features', async () => {
    const backend = createReferenceBackend();
    const inputs = randomInputs(2);
    const stateOf = async (given: typeof inputs, factor: number): Promise<number[]> => {
      const context = contextOf(given, { budget: { kind: 'tokens', tokens: 16 } });
      const attentionScale = factor / Math.sqrt(given.headDim);
      using run = ratchet({ features: 'taylor' }).begin({ ...context, model: { ...context.model, attentionScale } });
      await run.select(layerView(backend, given, { budget: run.budgets[0] ?? { perHead: 16, total: 32 }, observe: {} }));
      const [state] = Object.values(run.memory?.save().tensors ?? {});
      return [...((await state?.read()) ?? [])];
    };
    const [scaled, usual] = [await stateOf(inputs, 4), await stateOf({ ...inputs, keys: inputs.keys.map((x) => 2 * x) }, 1)];
    expect(usual.length).toBeGreaterThan(0);
    for (const [index, value] of scaled.entries()) expect(value).toBeCloseTo(usual[index] ?? 0, 3);
  });
});
