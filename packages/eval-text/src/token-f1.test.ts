import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { normalizeChinese, normalizeEnglish } from './normalize.js';
import { chineseCharacterF1, englishF1, tokenF1 } from './token-f1.js';

describe('normalisation', () => {
  it('deletes punctuation before articles', () => {
    expect(normalizeEnglish('The U.S. a-b, well-known “x” £5')).toEqual(['us', 'ab', 'wellknown', '“x”', '£5']);
  });

  it('keeps the CJK marks that the reference forgot', () => {
    expect(normalizeChinese('《红》，〈a〉。． ·\u3000！')).toBe('《红〈a〉．·');
  });
});

describe('F1', () => {
  it('counts tokens as multisets', () => {
    expect(tokenF1(['a', 'b', 'b', 'c'], ['a', 'b', 'c', 'c'])).toBe(0.75);
    expect(englishF1('Barack Hussein Obama', 'Barack Obama')).toBe(0.8);
    expect(chineseCharacterF1('𠮷野家', '𠮷野')).toBe(0.8);
  });

  it('is 0 for two empty texts', () => {
    expect(englishF1('', '')).toBe(0);
    expect(englishF1('the', 'the')).toBe(0);
    expect(chineseCharacterF1('。', '。')).toBe(0);
  });

  it('is symmetric, between 0 and 1, and 1 for any order of the same tokens', () => {
    const tokens = fc.array(fc.constantFrom('a', 'b', 'c', 'd'), { minLength: 1 });
    fc.assert(
      fc.property(tokens, tokens, (a, b) => {
        const score = tokenF1(a, b);
        expect(score).toBe(tokenF1(b, a));
        expect(score).toBeGreaterThanOrEqual(0);
        expect(score).toBeLessThanOrEqual(1);
        expect(tokenF1([...a].reverse(), a)).toBe(1);
      }),
    );
  });
});
