import { existsSync, readFileSync } from 'node:fs';
import { createReferenceBackend } from '@kvsift/backend-reference';
import { demoModelPath } from '@kvsift/demo-model';
import { type LanguageModel, load } from '@kvsift/engine';
import { allPolicies } from '@kvsift/policies';
import { knorm } from '@kvsift/policy-knorm';
import { snapkv } from '@kvsift/policy-snapkv';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compareReadings } from './comparison.js';
import { cacheLengths } from './compression-schedule.js';
import { everyStep } from './every-step.js';
import { readChunk } from './read-chunk.js';
import { scoreToken } from './token-score.js';

const cases = '../shared/data/lm-cases.json';
const backend = createReferenceBackend();
let model: LanguageModel;
let chunk: Int32Array;

beforeAll(async () => {
  model = await load(demoModelPath(), { backend });
  const text = 'The code for amber is 48213. The old river runs past the quiet mill. The code for amber is 48213. ';
  chunk = model.encode(text.repeat(4)).slice(0, 80);
});
afterAll(async () => {
  model.dispose();
  await backend.dispose();
});

const close = (a: readonly number[], b: readonly number[]) =>
  expect(Math.max(...a.map((value, index) => Math.abs(value - (b[index] ?? Number.NaN))))).toBeLessThan(1e-3);

describe('a chunk read with teacher forcing', () => {
  it('scores each token as a prompt that ends before it does', async () => {
    const { nlls, correct } = await readChunk(model, chunk.slice(0, 24));
    for (const at of [1, 7, 23]) {
      using session = model.session();
      await session.prefill(chunk.slice(0, at));
      const expected = scoreToken(await session.logits(), chunk[at] ?? 0);
      expect(nlls[at - 1]).toBeCloseTo(expected.nll, 3);
      expect(correct[at - 1]).toBe(expected.correct);
    }
    expect(nlls).toHaveLength(23);
  });

  it('is the same after a prefill, unless the reference slip is asked for', async () => {
    const whole = await readChunk(model, chunk);
    close((await readChunk(model, chunk, { prefill: 40 })).nlls, whole.nlls.slice(39));
    const slipped = await readChunk(model, chunk, { prefill: 40, skipsOne: true });
    expect(slipped.nlls).toHaveLength(whole.nlls.length - 40);
    expect(slipped.nlls[0]).toBeCloseTo(whole.nlls[39] ?? 0, 3);
  });

  it('evicts after the prefill: the first prediction knows everything, the later ones what was kept', async () => {
    const full = await readChunk(model, chunk, { prefill: 60 });
    const all = await readChunk(model, chunk, { prefill: 60, session: { policy: snapkv({ window: 4 }), budget: '100%' } });
    const some = await readChunk(model, chunk, { prefill: 60, session: { policy: snapkv({ window: 4 }), budget: 8 } });
    close(all.nlls, full.nlls);
    expect(some.nlls[0]).toBeCloseTo(full.nlls[0] ?? 0, 4);
    expect(some.nlls.slice(1).some((nll, at) => Math.abs(nll - (full.nlls[at + 1] ?? 0)) > 1e-2)).toBe(true);
    const { layers, kvHeads } = model.decoder.config;
    expect(some.cache.entries).toBe(layers.length * kvHeads * (8 + full.nlls.length - 1));
  });

  it('has something to predict', async () => {
    await expect(readChunk(model, [0])).rejects.toThrow('nothing to predict');
    await expect(readChunk(model, chunk, { prefill: 80 })).rejects.toThrow('nothing to predict');
    const stopped = new AbortController();
    const reading = readChunk(model, chunk, { signal: stopped.signal, onStep: ({ done }) => done === 3 && stopped.abort() });
    await expect(reading).rejects.toMatchObject({ code: 'aborted' });
  });
});

describe('compression at every step', () => {
  const lengths = async (keepRatio: number, pruneAfter: number, skipLayers: readonly number[], prefill = 0) => {
    const policy = everyStep({ policy: knorm(), keepRatio, pruneAfter, skipLayers });
    const perStep: number[] = [];
    const { kvHeads } = model.decoder.config;
    const reading = await readChunk(model, chunk, {
      prefill,
      session: { policy, budget: '100%' },
      onStep: ({ cache }) => perStep.push(cache.entries / kvHeads),
    });
    return { perStep, reading };
  };

  it('leaves as many entries as the schedule says, in the layers that are not skipped', async () => {
    const layers = model.decoder.config.layers.length;
    const whole = Array.from({ length: chunk.length - 1 }, (_, index) => index + 1);
    for (const [keepRatio, pruneAfter] of [
      [0.9, 0],
      [0.5, 0],
      [0.9, 40],
    ] as const) {
      const schedule = cacheLengths(whole.length, { keepRatio, pruneAfter });
      const { perStep } = await lengths(keepRatio, pruneAfter, [0]);
      expect(perStep).toEqual(whole.map((length, index) => length + (layers - 1) * (schedule[index] ?? 0)));
    }
  });

  it.skipIf(!existsSync(cases))('repeats the traces of the reference (needs ../shared/data)', async () => {
    const { growing_cache_lengths: traces } = JSON.parse(readFileSync(cases, 'utf8')) as {
      growing_cache_lengths: { keep_ratio: number; prune_after: number; cache_len_after_each_step: number[] }[];
    };
    const layers = model.decoder.config.layers.length;
    for (const trace of traces.filter(({ prune_after }) => prune_after < 40)) {
      const { perStep } = await lengths(trace.keep_ratio, trace.prune_after, []);
      const expected = trace.cache_len_after_each_step.slice(0, perStep.length);
      expect(expected.length).toBeGreaterThan(10);
      expect(perStep.slice(0, expected.length).map((entries) => entries / layers)).toEqual(expected);
    }
  });

  it('costs nothing while it keeps everything, and something once it does not', async () => {
    const full = await readChunk(model, chunk);
    const { reading: kept } = await lengths(1, 0, []);
    close(kept.nlls, full.nlls);
    const { reading: lossy } = await lengths(0.5, 0, []);
    expect(compareReadings([lossy], [full]).difference?.mean).toBeGreaterThan(0.1);
    expect(compareReadings([full], [full]).difference).toMatchObject({ mean: 0, withinNoise: true });
  });

  it('compresses a prefill like a step', async () => {
    const { perStep } = await lengths(0.5, 0, [], 40);
    expect(perStep[0]).toBe(20 * model.decoder.config.layers.length);
  });

  it('takes any policy whose score makes sense while decoding, from text too', async () => {
    const registry = allPolicies([everyStep]);
    for (const text of ['every-step(tova(), keepRatio=0.8)', 'every-step(streaming-llm(), keepRatio=0.8)', 'decoding(h2o())']) {
      const { nlls, cache } = await readChunk(model, chunk, { session: { policy: registry.parse(text), budget: 12 } });
      expect(nlls.every(Number.isFinite), text).toBe(true);
      expect(cache.entries, text).toBeLessThan(chunk.length * model.decoder.config.layers.length * model.decoder.config.kvHeads);
    }
    const late = readChunk(model, chunk, { session: { policy: registry.parse('every-step(finch())'), budget: 12 } });
    await expect(late).rejects.toMatchObject({ code: 'policy_invalid' });
  });
});
