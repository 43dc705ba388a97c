import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { difflibRatio, fuzzRatio, levenshteinRatio } from './edit-similarity.js';

describe('difflib', () => {
  it('depends on the order of the sides', () => {
    expect(difflibRatio('tide', 'diet')).toBe(0.25);
    expect(difflibRatio('diet', 'tide')).toBe(0.5);
  });

  it('lets frequent characters of long texts extend blocks but not begin them', () => {
    const frequent = 'a'.repeat(250);
    expect(difflibRatio(`b${frequent}`, `b${frequent}`)).toBe(1);
    expect(difflibRatio(`c${frequent}`, `b${frequent}`)).toBe(0);
  });
});

describe('fuzzRatio', () => {
  it('rounds to integers, and settles equal and empty texts first', () => {
    expect(fuzzRatio('', '', 'difflib')).toBe(100);
    expect(fuzzRatio('', 'a', 'levenshtein')).toBe(0);
    expect(fuzzRatio('    return x', 'return x', 'difflib')).toBe(80);
    // 100 · 2 · 1 / 16 = 12.5 goes to the even 12.
    expect(fuzzRatio('axxxxxxx', 'ayyyyyyy', 'levenshtein')).toBe(12);
  });

  it('counts code points', () => {
    expect(levenshteinRatio('😀😀', '😀')).toBe(2 / 3);
    expect(difflibRatio('😀', '😁')).toBe(0);
  });

  const texts = fc.string({ unit: fc.constantFrom('a', 'b', 'c', '😀'), maxLength: 40 });
  it('is 0 … 100, 100 only for equal texts under Levenshtein, symmetric there, and difflib never finds more', () => {
    fc.assert(
      fc.property(texts, texts, (a, b) => {
        const [difflib, levenshtein] = [difflibRatio(a, b), levenshteinRatio(a, b)];
        expect(difflib).toBeLessThanOrEqual(levenshtein);
        expect(levenshtein).toBe(levenshteinRatio(b, a));
        expect(levenshtein === 1).toBe(a === b);
        expect(fuzzRatio(a, b, 'difflib')).toBeLessThanOrEqual(100);
      }),
    );
  });
});
