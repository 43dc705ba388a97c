import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { chunkDocuments } from './chunks.js';
import { cacheLengths, keptAfterStep, lmSteps } from './compression-schedule.js';
import { spreadOf, summarizeChunk, summarizeChunks } from './summary.js';
import { scoreToken } from './token-score.js';

describe('chunks', () => {
  const options = { chunkSize: 4, merge: true, bos: 1, eos: 2 };

  it('run over document ends and drop the rest, or take the start of each document', () => {
    const documents = [[10, 11, 12, 13], [], [14]];
    expect([...chunkDocuments(documents, options)]).toEqual([
      [1, 10, 11, 12],
      [1, 13, 2, 2],
    ]);
    expect([...chunkDocuments(documents, { ...options, merge: false })]).toEqual([
      [1, 10, 11, 12],
      [1, 2],
      [1, 14, 2],
    ]);
  });

  it('hold every token once, in order, whatever the documents', () => {
    const documents = fc.array(fc.array(fc.integer({ min: 10, max: 20 })));
    fc.assert(
      fc.property(documents, fc.integer({ min: 2, max: 9 }), (docs, chunkSize) => {
        const chunks = [...chunkDocuments(docs, { ...options, chunkSize })];
        const all = docs.flatMap((document) => [...document, 2]);
        expect(chunks.every((chunk) => chunk.length === chunkSize && chunk[0] === 1)).toBe(true);
        expect(chunks.flatMap((chunk) => chunk.slice(1))).toEqual(all.slice(0, all.length - (all.length % (chunkSize - 1))));
      }),
    );
  });

  it('need room for a token beside begin-of-text', () => {
    expect(() => [...chunkDocuments([], { ...options, chunkSize: 1 })]).toThrow('chunk size of at least 2');
  });
});

describe('summaries', () => {
  it('end their curves in the totals', () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 0, max: 20, noNaN: true }), { minLength: 1 }), (nlls) => {
        const summary = summarizeChunk({ nlls, correct: nlls.map((nll) => Number(nll < 1)) });
        expect(summary.runningPerplexity.at(-1)).toBe(summary.perplexity);
        expect(summary.runningAccuracy.at(-1)).toBe(summary.accuracy);
        expect(summary.runningPerplexity[0]).toBe(Math.exp(nlls[0] ?? 0));
        expect(summary.perplexity).toBeGreaterThanOrEqual(1);
      }),
    );
  });

  it('spread over chunks: sample deviation, 0 for one', () => {
    expect(spreadOf([2, 4])).toEqual({ mean: 3, deviation: Math.SQRT2 });
    expect(spreadOf([5])).toEqual({ mean: 5, deviation: 0 });
    expect(spreadOf([]).mean).toBeNaN();
    const chunks = [
      { nlls: [0], correct: [1] },
      { nlls: [Math.log(3)], correct: [0] },
    ];
    expect(summarizeChunks(chunks)).toEqual({
      perplexity: { mean: expect.closeTo(2), deviation: expect.closeTo(Math.SQRT2) },
      accuracy: { mean: 0.5, deviation: expect.closeTo(Math.SQRT1_2) },
    });
    expect(summarizeChunk({ nlls: [], correct: [] }).perplexity).toBeNaN();
  });
});

describe('token scores', () => {
  it('are cross entropies that do not overflow', () => {
    expect(scoreToken(Float32Array.of(1000, 1000), 1)).toEqual({ nll: expect.closeTo(Math.LN2), correct: 0 });
    expect(scoreToken(Float32Array.of(-1000, 1000), 1)).toEqual({ nll: 0, correct: 1 });
    expect(scoreToken(Float32Array.of(0), 0)).toEqual({ nll: 0, correct: 1 });
  });

  it('sum to one over the vocabulary', () => {
    const logits = fc.array(fc.float({ min: -20, max: 20, noNaN: true }), { minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(logits, (values) => {
        const all = Float32Array.from(values);
        const scores = values.map((_, label) => scoreToken(all, label));
        expect(scores.reduce((sum, { nll }) => sum + Math.exp(-nll), 0)).toBeCloseTo(1, 9);
        expect(scores.reduce((sum, { correct }) => sum + correct, 0)).toBe(1);
      }),
    );
  });
});

describe('compression at every step', () => {
  it('caps the cache near 1 / (1 − ratio)', () => {
    expect(cacheLengths(200, { keepRatio: 0.98, pruneAfter: 10 }).at(-1)).toBe(49);
    expect(cacheLengths(30, { keepRatio: 0.9, pruneAfter: 0 }).at(-1)).toBe(9);
    expect(keptAfterStep(9, { keepRatio: 0.1, pruneAfter: 10 })).toBe(9);
  });

  it('grows by at most one and never passes the step number', () => {
    fc.assert(
      fc.property(fc.double({ min: 0.01, max: 1, noNaN: true }), fc.nat(60), (keepRatio, pruneAfter) => {
        let previous = 0;
        cacheLengths(120, { keepRatio, pruneAfter }).forEach((length, i) => {
          expect(length).toBeLessThanOrEqual(Math.min(previous + 1, i + 1));
          expect(length).toBeGreaterThan(0);
          previous = length;
        });
      }),
    );
  });
});

describe('order of reading', () => {
  it('feeds token by token, or a prefill first', () => {
    expect(lmSteps(3)).toEqual([
      { feed: [0], label: 1 },
      { feed: [1], label: 2 },
    ]);
    expect(lmSteps(4, 2)).toEqual([
      { feed: [0, 1], label: 2 },
      { feed: [2], label: 3 },
    ]);
  });

  it('never feeds the token after the prefill where the reference’s slip is wanted', () => {
    expect(lmSteps(5, 2, true)).toEqual([
      { feed: [0, 1], label: 2 },
      { feed: [3], label: 4 },
    ]);
  });

  it('predicts every later token once, fed in order', () => {
    fc.assert(
      fc.property(fc.nat(20), fc.nat(25), (length, prefill) => {
        const steps = lmSteps(length, prefill);
        const labels = Array.from({ length: Math.max(0, length - Math.max(prefill, 1)) }, (_, i) => Math.max(prefill, 1) + i);
        expect(steps.map(({ label }) => label)).toEqual(labels);
        expect(steps.flatMap(({ feed }) => feed)).toEqual(
          labels.length === 0 ? [] : Array.from({ length: length - 1 }, (_, i) => i),
        );
      }),
    );
  });
});
