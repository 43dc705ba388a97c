import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Result } from '../store/result.js';
import { createResampler, estimateMean } from './bootstrap.js';
import { summarize } from './summary.js';

const result = (policy: string, sample: number, score: number | null, extra: Partial<Result> = {}): Result => ({
  ...{ manifest: 'm', model: 'demo', policy, label: policy, budget: policy === 'full' ? '100%' : '20%' },
  ...{ suite: 's', task: 't', sample: `${sample}`, score, prediction: '', expected: '' },
  prompt: { start: '', end: '', characters: 0 },
  ...{ contextTokens: 100, generatedTokens: 5, decodedTokens: 4, cacheBytes: policy === 'full' ? 1000 : 200 },
  ...{ prefillSeconds: 1, decodeSeconds: 2, finishReason: 'eos', ...extra },
});

describe('estimateMean', () => {
  const resampler = createResampler(7);

  it('matches an interval computed by hand: the mean of two values is one of three', () => {
    // Means 0, ½, 1 come with probability ¼, ½, ¼; so 2.5 % and 97.5 % are at the ends.
    expect(estimateMean([0, 1], resampler)).toEqual({ mean: 0.5, low: 0, high: 1 });
  });

  it('is near the normal interval for many values', () => {
    const values = Array.from({ length: 400 }, (_, index) => Number(index % 4 === 0));
    const { mean, low, high } = estimateMean(values, resampler);
    const half = 1.96 * Math.sqrt((0.25 * 0.75) / 400);
    expect(mean).toBe(0.25);
    expect(low).toBeCloseTo(0.25 - half, 1.8);
    expect(high).toBeCloseTo(0.25 + half, 1.8);
  });

  it('holds its mean, and is the same for the same seed', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 30 }),
        fc.nat(1000),
        (values, seed) => {
          const estimate = estimateMean(values, createResampler(seed));
          expect(estimate).toEqual(estimateMean(values, createResampler(seed)));
          expect(estimate.low).toBeLessThanOrEqual(estimate.mean + 1e-9);
          expect(estimate.high).toBeGreaterThanOrEqual(estimate.mean - 1e-9);
        },
      ),
      { numRuns: 30 },
    );
  });

  it('has no mean without values', () => {
    expect(estimateMean([], resampler).mean).toBeNaN();
  });
});

describe('summarize', () => {
  it('pairs each sample with the full cache, whatever else was run', () => {
    const rows = summarize([
      result('snapkv', 1, 0),
      result('full', 1, 1),
      result('full', 2, 1),
      result('snapkv', 2, 1),
      result('snapkv', 3, 1),
    ]);
    expect(rows.map(({ policy, n }) => [policy, n])).toEqual([
      ['full', 2],
      ['snapkv', 3],
    ]);
    expect(rows[0]).not.toHaveProperty('difference');
    expect(rows[1]?.difference).toMatchObject({ mean: -0.5, n: 2, withinNoise: true });
    expect(rows[1]?.cacheShare).toBeCloseTo(0.2);
  });

  it('says what is beyond noise', () => {
    const samples = Array.from({ length: 20 }, (_, index) => index);
    const rows = summarize(samples.flatMap((index) => [result('full', index, 1), result('snapkv', index, index < 5 ? 1 : 0)]));
    expect(rows[1]?.difference).toMatchObject({ mean: -0.75, withinNoise: false });
  });

  it('counts failures apart and keeps them out of every mean', () => {
    const failed = { error: { code: 'x', message: '' }, prefillSeconds: 0, cacheBytes: 0, decodedTokens: 0, decodeSeconds: 0 };
    const [row] = summarize([result('full', 1, 1), result('full', 2, null, failed)]);
    expect(row).toMatchObject({ n: 1, failed: 1, cacheBytes: 1000, prefillSeconds: 1, decodeTokensPerSecond: 2 });
  });

  it('takes no other prompt for a pair, though its sample has the same name', () => {
    const other = { manifest: 'n', expected: '7' };
    const [, snapkv, tova] = summarize([result('full', 1, 1), result('snapkv', 1, 0), result('tova', 1, 1, other)]);
    expect(snapkv?.difference).toMatchObject({ mean: -1, n: 1 });
    expect(tova).toMatchObject({ policy: 'tova', manifests: ['n'] });
    expect(tova).not.toHaveProperty('difference');
  });

  it('puts what went on under another manifest into one row, and keeps what was run under both apart', () => {
    const on = { manifest: 'n' };
    const wentOn = [result('full', 1, 1), result('snapkv', 1, 0), result('full', 2, 1, on), result('snapkv', 2, 1, on)];
    expect(summarize(wentOn).map(({ policy, n, manifests }) => [policy, n, manifests])).toEqual([
      ['full', 2, ['m', 'n']],
      ['snapkv', 2, ['m', 'n']],
    ]);
    const both = summarize([...wentOn, result('full', 1, 0, on), result('tova', 1, 1, on)]);
    expect(both.map(({ policy, apart, n, difference }) => [policy, apart, n, difference?.mean])).toEqual([
      ['full', 'm', 1, undefined],
      ['snapkv', 'm', 1, -1],
      ['full', 'n', 2, undefined],
      ['snapkv', 'n', 1, 0],
      ['tova', 'n', 1, 1],
    ]);
  });

  it('keeps models and tasks apart', () => {
    const rows = summarize([result('full', 1, 1), result('full', 1, 0, { task: 'u' }), result('full', 1, 0, { model: 'other' })]);
    expect(rows.map(({ model, task, score }) => [model, task, score.mean])).toEqual([
      ['demo', 't', 1],
      ['demo', 'u', 0],
      ['other', 't', 0],
    ]);
  });
});
