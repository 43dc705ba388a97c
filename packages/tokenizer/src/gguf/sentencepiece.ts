import { wordMemory } from '../text/word-memory.js';
import { MergeQueue } from './merge-queue.js';
import { type GgufVocabulary, tokenTypes } from './vocabulary.js';

/**
 * Sentencepiece's BPE: of all neighbours whose joined text is a piece, join those with the best score (leftmost among equals) until none is
 * left; characters that are no piece become their UTF-8 bytes (Kudo & Richardson 2018, section 3; sentencepiece bpe_model.cc).
 * Done here and not through a tokenizer.json: that has ranks of pairs where this has scores of results.
 * @returns appends the ids of a text with ▁ for spaces
 */
export function sentencePieceEncoder(vocabulary: GgufVocabulary): (text: string, ids: number[]) => void {
  const pieces = new Map<string, number>();
  const bytes = new Map<number, number>();
  vocabulary.tokens.forEach((token, id) => {
    const type = vocabulary.types[id];
    const byte = type === tokenTypes.byte ? /^<0x([0-9A-Fa-f]{2})>$/.exec(token)?.[1] : undefined;
    if (byte !== undefined) bytes.set(Number.parseInt(byte, 16), id);
    else if (type !== tokenTypes.control && type !== tokenTypes.unknown && !pieces.has(token)) pieces.set(token, id);
  });
  // Where no piece has a ▁ behind another character, nothing joins across the start of a word.
  const wordwise = ![...pieces.keys()].some((piece) => /[^▁]▁/u.test(piece));

  const encodeWord = wordMemory((word) => {
    const ids: number[] = [];
    for (const symbol of mergeSymbols(word, pieces, vocabulary.scores)) {
      const id = pieces.get(symbol);
      if (id !== undefined) ids.push(id);
      else pushBytes(symbol, ids);
    }
    return ids;
  });
  const pushBytes = (symbol: string, ids: number[]) => {
    const found = Array.from(new TextEncoder().encode(symbol), (byte) => bytes.get(byte));
    const known = found.filter((id) => id !== undefined);
    if (known.length === found.length) ids.push(...known);
    else if (vocabulary.unknownId !== undefined && ids.at(-1) !== vocabulary.unknownId) ids.push(vocabulary.unknownId);
  };

  return (text, ids) => {
    for (const word of wordwise ? (text.match(/▁*[^▁]+|▁+/gu) ?? []) : [text]) encodeWord(word, ids);
  };
}

/** Symbols are named by where they begin; `ends[start]` is 0 for one that was joined to its left neighbour. */
function mergeSymbols(text: string, pieces: ReadonlyMap<string, number>, scores: readonly number[]): string[] {
  const ends = new Int32Array(text.length + 1);
  const previous = new Int32Array(text.length + 1).fill(-1);
  for (let at = 0; at < text.length; ) {
    const end = at + ((text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1);
    ends[at] = end;
    previous[end] = at;
    at = end;
  }
  const queue = new MergeQueue();
  const offer = (left: number, right: number) => {
    const end = ends[right] ?? 0;
    const id = pieces.get(text.slice(left, end));
    if (id !== undefined) queue.push({ score: scores[id] ?? 0, left, right, end });
  };
  for (let at = ends[0] ?? 0; at < text.length; at = ends[at] ?? text.length) offer(previous[at] ?? 0, at);
  for (let best = queue.pop(); best; best = queue.pop()) {
    const { left, right, end } = best;
    // Either symbol has changed since.
    if (ends[left] !== right || ends[right] !== end) continue;
    ends[left] = end;
    ends[right] = 0;
    previous[end] = left;
    const before = previous[left] ?? -1;
    if (before >= 0) offer(before, left);
    if (end < text.length) offer(left, end);
  }
  const symbols: string[] = [];
  for (let at = 0; at < text.length; at = ends[at] ?? text.length) symbols.push(text.slice(at, ends[at]));
  return symbols;
}
