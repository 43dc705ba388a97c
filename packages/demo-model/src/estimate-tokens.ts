import { factSentences, fillerSentences, places, questionSentence, slotWords } from './wording.js';

const piece = /\p{L}+|\p{N}|[^\s\p{L}\p{N}]+/gu;

/**
 * About how many tokens the demo model's tokenizer makes of `text`, begin token included: one for each punctuation mark, digit and
 * word of the filler, and for any other word two for every three letters, which is seldom too few.
 */
export function estimateTokens(text: string): number {
  let tokens = 1;
  for (const [part] of text.matchAll(piece))
    tokens += /^\p{L}/u.test(part) && !common.has(part) ? Math.ceil((part.length * 2) / 3) : 1;
  return tokens;
}

const common = new Set(
  [...fillerSentences, ...places, ...factSentences, questionSentence, ...Object.values(slotWords).flat()].flatMap(
    (sentence) => sentence.replace(/\{\w+\}/g, ' ').match(/\p{L}+/gu) ?? [],
  ),
);
