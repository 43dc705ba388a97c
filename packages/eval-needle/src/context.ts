import type { TextTokenizer } from '@kvsift/eval-text';
import { KvsiftError } from '@kvsift/tensor';

/** Tokens that the reference leaves free for question and answer. */
const RESERVE = 200;

type Ids = readonly number[];

/** Whether an id is a period and nothing else, with or without the space before it (Llama 2 has one id for each). */
function periodTest(tokenizer: TextTokenizer): (id: number | undefined) => boolean {
  const known = new Map<number, boolean>();
  return (id) => {
    if (id === undefined) return false;
    let result = known.get(id);
    if (result === undefined) {
      result = tokenizer.decode([id]).trim() === '.';
      known.set(id, result);
    }
    return result;
  };
}

/** Makes the contexts of a grid from one text. */
export interface ContextMaker {
  /**
   * Hides needles in the first tokens of the text.
   * @param length tokens of the context, of which 200 stay free
   * @param depth percent; further needles follow at equal distances between it and the end
   * @throws KvsiftError `invalid_argument` where the needles do not fit
   */
  make(length: number, depth: number, needles: readonly string[]): string;
}

/**
 * Prepares contexts of up to `longest` tokens.
 * @param text the essays one after the other; repeated as often as needed
 */
export function createContextMaker(text: string, longest: number, tokenizer: TextTokenizer): ContextMaker {
  const once = tokenizer.encode(text);
  if (once.length === 0) throw new KvsiftError('data_malformed', 'expected essays to hide needles in, got empty text');
  const all = once.length >= longest ? once : tokenizer.encode(text.repeat(Math.ceil(longest / once.length)));
  const isPeriod = periodTest(tokenizer);

  /** The end of a sentence at or before a position; 0 where there is none. */
  function sentenceBreak(ids: Ids, position: number): number {
    let at = position;
    while (at > 0 && !isPeriod(ids[at - 1])) at--;
    return at;
  }

  return {
    make(length, depth, needles) {
      const hidden = needles.map((needle) => Array.from(tokenizer.encode(needle)));
      const room = length - RESERVE - hidden.reduce((sum, ids) => sum + ids.length, 0);
      if (room < 0) {
        throw new KvsiftError(
          'invalid_argument',
          `expected a context of at least ${length - room} tokens for ${needles.length} needle(s), got ${length}`,
        );
      }
      // Cut, decoded and read again, as the references do: the last token may change.
      const ids = Array.from(tokenizer.encode(tokenizer.decode(all.slice(0, length)))).slice(0, room);
      const step = (100 - depth) / needles.length;
      const places = hidden.map((needle, i) => {
        const percent = depth + i * step;
        return { needle, at: percent >= 100 ? ids.length : sentenceBreak(ids, Math.floor((ids.length * percent) / 100)) };
      });
      const pieces: number[] = [];
      let from = 0;
      for (const { needle, at } of places) {
        for (const id of ids.slice(from, at)) pieces.push(id);
        pieces.push(...needle);
        from = at;
      }
      for (const id of ids.slice(from)) pieces.push(id);
      return tokenizer.decode(pieces);
    },
  };
}
