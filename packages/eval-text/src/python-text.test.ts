import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  codePoints,
  removeWhiteSpace,
  replaceBySpace,
  splitWords,
  squeezeSpaces,
  strip,
  stripStart,
  wholeWord,
} from './python-text.js';

/** Every character on which Python and JavaScript disagree, and some on which they do not. */
const texts = fc
  .array(fc.constantFrom(...'ab \t\n\v\f\r\u001c\u001f\u0085\u00a0\u180e\u200b\u2028\u3000\ufeff'))
  .map((c) => c.join(''));

describe('white space as Python has it', () => {
  it('splits at U+001C–U+001F and U+0085, not at U+FEFF, U+200B and U+180E', () => {
    expect(splitWords('a\u001cb\u001fc\u0085d')).toEqual(['a', 'b', 'c', 'd']);
    expect(splitWords('a\ufeffb\u200bc\u180ed')).toEqual(['a\ufeffb\u200bc\u180ed']);
    expect(splitWords(' \u3000\u2028')).toEqual([]);
  });

  it('strips the same characters at both ends only', () => {
    expect(strip('\u0085 a b\u001f\n')).toBe('a b');
    expect(strip('\ufeffa')).toBe('\ufeffa');
    expect(stripStart(' a ')).toBe('a ');
    expect(strip(' \n')).toBe('');
  });

  it('finds the same words before and after stripping and joining', () => {
    fc.assert(
      fc.property(texts, (text) => {
        const words = splitWords(text);
        expect(splitWords(strip(text))).toEqual(words);
        expect(splitWords(words.join(' '))).toEqual(words);
        expect(removeWhiteSpace(text)).toBe(words.join(''));
        expect(strip(strip(text))).toBe(strip(text));
      }),
    );
  });
});

describe('characters and words', () => {
  it('counts code points, a lone surrogate as one', () => {
    expect(codePoints('a😀\ud800')).toEqual(['a', '😀', '\ud800']);
  });

  it('bounds words by letters of all scripts, not by combining marks', () => {
    const article = wholeWord('a', 'g');
    expect('éa 这a a_ a'.match(article)).toHaveLength(1);
    expect('a\u0301'.match(article)).toHaveLength(1);
  });

  it('replaces in the given order and squeezes plain spaces only', () => {
    expect(replaceBySpace('Option A-B', ['-', 'Option'])).toBe('  A B');
    expect(squeezeSpaces('a   b\t\tc')).toBe('a b\t\tc');
  });
});
