import { Jieba } from '@node-rs/jieba';
import { dict } from '@node-rs/jieba/dict.js';

/** Cuts Chinese text into words; all tokens joined give the text again. */
export type Segmenter = (text: string) => string[];

/** Blocks that jieba 0.42.1 looks up in its dictionary; jieba-rs takes more CJK planes, so the blocks are made here. */
const WORD_BLOCK = /([\u4e00-\u9fd5a-zA-Z0-9+#&._%-]+)/;
const HAN_RUN = /([\u4e00-\u9fd5]+)/;
const LATIN_RUN = /([a-zA-Z0-9]+(?:\.\d+)?%?)/;
/** The one entry of jieba's default dictionary that the bundled one lacks. */
const MISSING_WORD = 'B超';
const MISSING_ENTRY = `${MISSING_WORD} 3 n\n`;

const pieces = (text: string, separator: RegExp) => text.split(separator).filter((piece) => piece !== '');
const characters = (text: string) => Array.from(text);

/**
 * `jieba.cut(text, HMM=True)` of Python's jieba 0.42.1 with the default dictionary. The dictionary path and the hidden Markov model are
 * those of `@node-rs/jieba`; which characters go to the model, and how Latin runs inside are cut, follows the Python package, where
 * jieba-rs differs ("467-8561" stays whole there).
 *
 * Reading the dictionary takes about half a second and 150 MB: make one segmenter and keep it.
 */
export function createJiebaSegmenter(): Segmenter {
  const words = new Set<string>([MISSING_WORD]);
  for (const line of new TextDecoder().decode(dict).split('\n')) words.add(line.slice(0, line.indexOf(' ')));
  const dictionary = Jieba.withDict(dict);
  dictionary.loadDict(Buffer.from(MISSING_ENTRY));
  // Without a dictionary every character is unknown, so this one applies the model to all of a text.
  const model = new Jieba();

  /** Single characters between dictionary words: recognised by the model unless together they are a word of the dictionary. */
  function cutUnknown(run: string): string[] {
    const single = characters(run);
    if (single.length < 2 || words.has(run)) return single;
    return pieces(run, HAN_RUN).flatMap((piece) => (HAN_RUN.test(piece) ? model.cut(piece, true) : pieces(piece, LATIN_RUN)));
  }

  function cutBlock(block: string): string[] {
    const result: string[] = [];
    let unknown = '';
    for (const word of dictionary.cut(block, false)) {
      // Runs of Latin letters are glued by jieba-rs; no dictionary word is one.
      if (word.length === 1 || /^[a-zA-Z0-9]+$/.test(word)) {
        unknown += word;
        continue;
      }
      result.push(...cutUnknown(unknown), word);
      unknown = '';
    }
    return [...result, ...cutUnknown(unknown)];
  }

  return (text) =>
    pieces(text, WORD_BLOCK).flatMap((block) =>
      WORD_BLOCK.test(block)
        ? cutBlock(block)
        : pieces(block, /(\r\n)/).flatMap((piece) => (piece === '\r\n' ? [piece] : characters(piece))),
    );
}
