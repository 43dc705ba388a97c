import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type TextTokenizer, truncateMiddle } from './truncate.js';

/** One token per character. */
const characters: TextTokenizer = {
  encode: (text) => Array.from(text, (c) => c.codePointAt(0) ?? 0),
  decode: (ids) => String.fromCodePoint(...ids),
};
const joined = (parts: { context: string; question: string; answerPrefix?: string }) =>
  parts.context + parts.question + (parts.answerPrefix ?? '');

describe('truncateMiddle', () => {
  const parts = { context: 'abcdefghij', question: 'QR', answerPrefix: 'S' };

  it('leaves a prompt that fits alone', () => {
    expect(truncateMiddle(parts, characters, { maxTokens: 13 })).toBe(parts);
  });

  it('keeps the first and last half; an odd limit loses one token unless told otherwise', () => {
    expect(truncateMiddle(parts, characters, { maxTokens: 9 })).toEqual({ context: 'abcdj', question: 'QR', answerPrefix: 'S' });
    expect(truncateMiddle(parts, characters, { maxTokens: 9, rounding: 'ceil' })).toEqual({
      context: 'abcdij',
      question: 'QR',
      answerPrefix: 'S',
    });
  });

  it('counts begin-of-text in the first half', () => {
    expect(truncateMiddle(parts, characters, { maxTokens: 8, bos: true }).context).toBe('abcj');
    expect(truncateMiddle(parts, characters, { maxTokens: 13, bos: true })).not.toBe(parts);
  });

  it('cuts the question too where the limit is shorter', () => {
    expect(truncateMiddle(parts, characters, { maxTokens: 4 })).toEqual({ context: 'ab', question: 'R', answerPrefix: 'S' });
    expect(truncateMiddle(parts, characters, { maxTokens: 0 })).toEqual({ context: '', question: '', answerPrefix: '' });
  });

  it('keeps what the reference keeps, whatever the pieces', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'b', 'Q'), maxLength: 30 });
    fc.assert(
      fc.property(text, text, text, fc.nat(40), (context, question, answerPrefix, maxTokens) => {
        const prompt = { context, question, answerPrefix };
        const whole = joined(prompt);
        const half = Math.floor(maxTokens / 2);
        const expected = whole.length <= maxTokens ? whole : whole.slice(0, half) + whole.slice(whole.length - half);
        const cut = truncateMiddle(prompt, characters, { maxTokens });
        expect(joined(cut)).toBe(expected);
        expect(answerPrefix.endsWith(cut.answerPrefix)).toBe(true);
        if (half >= question.length + answerPrefix.length) expect(cut).toMatchObject({ question, answerPrefix });
      }),
    );
  });
});
