import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createJiebaSegmenter } from './segment.js';

const segment = createJiebaSegmenter();

describe('jieba', () => {
  it.each([
    ['他来到了网易杭研大厦', ['他', '来到', '了', '网易', '杭研', '大厦']],
    ['电话467-8561', ['电话', '467', '-', '8561']],
    ['2007-03-05 3.5%', ['2007', '-', '03', '-', '05', ' ', '3.5%']],
    ['做B超', ['做', 'B超']],
    ['a\r\n b', ['a', '\r\n', ' ', 'b']],
    ['𠮷野家😀', ['𠮷', '野家', '😀']],
    ['', []],
  ])('%j', (text, tokens) => {
    expect(segment(text)).toEqual(tokens);
  });

  it('loses nothing', () => {
    const unit = fc.constantFrom(...'中国人民大学的是在不了A1.-%+_#& \n，。B超𠮷é');
    fc.assert(
      fc.property(fc.string({ unit, maxLength: 40 }), (text) => {
        const tokens = segment(text);
        expect(tokens.join('')).toBe(text);
        expect(tokens).not.toContain('');
      }),
    );
  });
});
