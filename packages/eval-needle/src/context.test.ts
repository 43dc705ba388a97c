import { splitWords, type TextTokenizer } from '@kvsift/eval-text';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createContextMaker } from './context.js';

/** One token per word or period, glued back with spaces. */
function wordTokenizer(): TextTokenizer {
  const vocabulary: string[] = [];
  return {
    encode: (text) =>
      splitWords(text.replaceAll('.', ' . ')).map((word) => {
        if (!vocabulary.includes(word)) vocabulary.push(word);
        return vocabulary.indexOf(word);
      }),
    decode: (ids) => Array.from(ids, (id) => vocabulary[id]).join(' '),
  };
}

const essay = Array.from({ length: 30 }, (_, i) => `This is sentence ${i} of it.`).join(' ');
const words = (text: string) => splitWords(text);

describe('contexts', () => {
  const tokenizer = wordTokenizer();
  const maker = createContextMaker(essay, 2000, tokenizer);

  it('hide the needle at the end of a sentence, at most at its depth', () => {
    const text = words(maker.make(400, 50, ['NEEDLE here.']));
    const at = text.indexOf('NEEDLE');
    expect(text[at - 1]).toBe('.');
    expect(at).toBeLessThanOrEqual(0.5 * 200);
    expect(at).toBeGreaterThan(0.5 * 200 - 8);
    expect(text).toHaveLength(200);
  });

  it('put it first where no sentence ends before, and last at depth 100', () => {
    expect(maker.make(400, 1, ['NEEDLE'])).toMatch(/^NEEDLE This/);
    expect(maker.make(400, 100, ['NEEDLE'])).toMatch(/NEEDLE$/);
    const endless = createContextMaker('word '.repeat(500), 500, wordTokenizer());
    expect(endless.make(400, 60, ['NEEDLE'])).toMatch(/^NEEDLE/);
  });

  it('spread several needles between the depth and the end, in order', () => {
    const text = words(maker.make(1000, 40, ['ONE', 'TWO', 'THREE']));
    const [one, two, three] = ['ONE', 'TWO', 'THREE'].map((needle) => text.indexOf(needle) / text.length) as [
      number,
      number,
      number,
    ];
    expect([one, two, three].map((depth) => Math.round(depth * 10))).toEqual([4, 6, 8]);
  });

  it('repeat a short text, and refuse needles that do not fit', () => {
    expect(words(maker.make(1500, 0, ['N']))).toHaveLength(1300);
    expect(() => maker.make(201, 0, ['N N'])).toThrow('expected a context of at least 202 tokens');
    expect(() => createContextMaker('', 10, tokenizer)).toThrow('expected essays');
  });

  it('have the asked length and keep the text around the needle, at any length and depth', () => {
    fc.assert(
      fc.property(fc.integer({ min: 210, max: 2000 }), fc.integer({ min: 0, max: 100 }), (length, depth) => {
        const text = words(maker.make(length, depth, ['NEEDLE']));
        expect(text).toHaveLength(length - 200);
        const rest = text.filter((word) => word !== 'NEEDLE').join(' ');
        expect(tokenizer.decode(tokenizer.encode(essay.concat(' ').repeat(20))).startsWith(rest)).toBe(true);
      }),
      { numRuns: 50 },
    );
  });
});
