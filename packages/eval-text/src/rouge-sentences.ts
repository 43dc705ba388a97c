import { internWords, lcsPath } from './lcs.js';
import { splitWords } from './python-text.js';
import { scoreError } from './score-error.js';

/** Precision, recall and their harmonic mean. */
export interface RougeScore {
  readonly precision: number;
  readonly recall: number;
  readonly f1: number;
}

/** Deepest backtracking that CPython's default recursion limit allows the reference runner. */
export const RECURSION_MOVES = 989;

/** Pieces between periods with white space collapsed; a piece of white space only stays as an empty sentence. */
function sentencesOf(text: string): string[][] {
  return text
    .split('.')
    .filter((piece) => piece !== '')
    .map((piece) => splitWords(piece).join(' ').split(' '));
}

const scoreOf = (precision: number, recall: number): RougeScore => ({
  precision,
  recall,
  f1: 2 * ((precision * recall) / (precision + recall + 1e-8)),
});

function nonEmpty(prediction: string, reference: string): [prediction: string[][], reference: string[][]] {
  const sides: [string[][], string[][]] = [sentencesOf(prediction), sentencesOf(reference)];
  if (sides[0].length === 0) throw scoreError('ValueError', 'Hypothesis is empty.');
  if (sides[1].length === 0) throw scoreError('ValueError', 'Reference is empty.');
  return sides;
}

/** Settings of {@link rougeLSentences}. */
export interface RougeLOptions {
  /** Score 0 where a backtracking path is longer than this many moves; default: no limit. */
  readonly maxMoves?: number;
}

/**
 * ROUGE-L as the Python package `rouge` 1.0.1 computes it (LongBench): over sets of distinct words, sentences split on every ASCII period,
 * no lower-casing, F = 2PR/(P+R+1e-8). Not the ROUGE-L of Lin 2004.
 * @throws KvsiftError `score_error` (ValueError) where a side has no sentence
 */
export function rougeLSentences(prediction: string, reference: string, { maxMoves = Infinity }: RougeLOptions = {}): RougeScore {
  const [predicted, expected] = nonEmpty(prediction, reference);
  const ids = internWords(...predicted, ...expected);
  const [predictedIds, expectedIds] = [ids.slice(0, predicted.length), ids.slice(predicted.length)];
  const union = new Set<number>();
  for (const x of expectedIds) {
    for (const y of predictedIds) {
      const { indices, moves } = lcsPath(x, y, 'b');
      if (moves > maxMoves) return scoreOf(0, 0);
      for (const index of indices) union.add(x[index] ?? -1);
    }
  }
  const distinct = (sides: Int32Array[]) => new Set(sides.flatMap((side) => [...side])).size;
  return scoreOf(union.size / distinct(predictedIds), union.size / distinct(expectedIds));
}

/**
 * ROUGE-1 or ROUGE-2 of the same package: distinct n-grams over the words of all sentences run together.
 * @throws KvsiftError `score_error` (ValueError) where a side has no sentence
 */
export function rougeNSentences(prediction: string, reference: string, n: 1 | 2): RougeScore {
  const [predicted, expected] = nonEmpty(prediction, reference).map((sentences) => {
    const words = sentences.flat();
    return new Set(words.slice(n - 1).map((_, i) => words.slice(i, i + n).join(' ')));
  }) as [Set<string>, Set<string>];
  let shared = 0;
  for (const gram of predicted) if (expected.has(gram)) shared++;
  return scoreOf(predicted.size === 0 ? 0 : shared / predicted.size, expected.size === 0 ? 0 : shared / expected.size);
}
