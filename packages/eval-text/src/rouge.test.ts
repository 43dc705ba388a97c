import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { internWords, lcsLength, lcsPath } from './lcs.js';
import { rouge1, rougeL, rougeLsum } from './rouge-lines.js';
import { rougeLSentences, rougeNSentences } from './rouge-sentences.js';

const words = fc.array(fc.constantFrom('a', 'b', 'c', 'd'), { maxLength: 12 });

describe('longest common subsequence', () => {
  it('takes a path that is common to both sides and as long as the table says', () => {
    fc.assert(
      fc.property(words, words, fc.constantFrom('a' as const, 'b' as const), (left, right, onTie) => {
        const [a = new Int32Array(), b = new Int32Array()] = internWords(left, right);
        const { indices, moves } = lcsPath(a, b, onTie);
        expect(indices).toHaveLength(lcsLength(a, b));
        expect(moves).toBeLessThanOrEqual(a.length + b.length);
        let from = 0;
        for (const index of indices) {
          from = b.indexOf(a[index] ?? -1, from) + 1;
          expect(from).toBeGreaterThan(0);
        }
      }),
    );
  });

  it('breaks ties on the side it is told', () => {
    const [a = new Int32Array(), b = new Int32Array()] = internWords(['x', 'y'], ['y', 'x']);
    expect(lcsPath(a, b, 'a').indices).toEqual([0]);
    expect(lcsPath(a, b, 'b').indices).toEqual([1]);
  });
});

describe('ROUGE of the package rouge', () => {
  it('tops out below 1 and counts a trailing space as a sentence', () => {
    expect(rougeLSentences('a b c d', 'a b c d').f1).toBe(0.999999995);
    expect(rougeLSentences('Hello. ', 'Hello.').f1).toBe(0.6666666622222223);
  });

  it('works on distinct words', () => {
    expect(rougeLSentences('the the the the', 'the').f1).toBe(0.999999995);
    expect(rougeNSentences('a b a b', 'a b', 2)).toEqual({ precision: 0.5, recall: 1, f1: expect.closeTo(2 / 3, 7) });
  });

  it.each(['', '.', '...'])('raises for %j, as the library does', (text) => {
    expect(() => rougeLSentences(text, 'a')).toThrow('Hypothesis is empty.');
    expect(() => rougeNSentences('a', text, 1)).toThrow('Reference is empty.');
  });

  it('gives 0 where Python would recurse too deeply, unless told not to', () => {
    const long = Array.from({ length: 1200 }, (_, i) => `w${i}`).join(' ');
    expect(rougeLSentences(long, 'w5 w6', { maxMoves: 989 }).f1).toBe(0);
    expect(rougeLSentences(long, 'w5 w6').f1).toBeGreaterThan(0.003);
  });
});

describe('ROUGE of rouge_score', () => {
  it('drops everything but ASCII letters and digits', () => {
    expect(rougeLsum('数字 12 café', '12 caf').f1).toBe(1);
  });

  it('stems tokens longer than three letters when asked', () => {
    expect(rouge1('sitting days', 'sit day').f1).toBe(0);
    expect(rouge1('sitting days', 'sit day', { stem: true }).f1).toBe(1);
  });

  it('takes the union over lines and clips it', () => {
    expect(rougeLsum('w1 w2 w6 w7 w8\nw1 w3 w8 w9 w5', 'w1 w2 w3 w4 w5').recall).toBe(0.8);
    expect(rougeLsum('a a a', 'a')).toEqual({ precision: 1 / 3, recall: 1, f1: 0.5 });
  });

  it('is 0 for empty sides', () => {
    for (const metric of [rouge1, rougeL, rougeLsum]) {
      expect(metric('', 'x').f1).toBe(0);
      expect(metric('x', '').f1).toBe(0);
      expect(metric('', '').f1).toBe(0);
    }
  });

  it('orders the metrics: L is at most 1-gram overlap, both within 0 … 1, and swapping sides swaps precision and recall', () => {
    fc.assert(
      fc.property(words, words, (a, b) => {
        const [left, right] = [a.join(' '), b.join(' ')];
        const [one, longest] = [rouge1(left, right), rougeL(left, right)];
        expect(longest.f1).toBeLessThanOrEqual(one.f1 + 1e-12);
        expect(one.f1).toBeLessThanOrEqual(1);
        expect(rouge1(right, left)).toEqual({ precision: one.recall, recall: one.precision, f1: one.f1 });
        if (a.length > 0) expect(rougeLsum(left, left).f1).toBe(1);
      }),
    );
  });
});
