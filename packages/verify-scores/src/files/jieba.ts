import { createJiebaSegmenter, type Segmenter } from '@kvsift/eval-text';
import { rowFile } from '../case-file.js';
import { expectColumns, expectSame } from '../compare.js';
import { Mismatch } from '../tally.js';

/** Texts with the tokens of Python's jieba 0.42.1. */
export const jiebaCases = (segmenter: () => Segmenter) =>
  rowFile(/^jieba-cases\.jsonl$/, ({ value }) => {
    expectColumns(value, ['text', 'tokens']);
    if (typeof value.text !== 'string') throw new Mismatch('expected a text in "text"');
    expectSame('tokens', segmenter()(value.text), value.tokens);
  });

/** Makes the segmenter when it is first needed: reading its dictionary takes a second. */
export function lazySegmenter(): () => Segmenter {
  let segmenter: Segmenter | undefined;
  return () => {
    segmenter ??= createJiebaSegmenter();
    return segmenter;
  };
}
