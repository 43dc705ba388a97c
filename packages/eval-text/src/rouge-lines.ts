import { internWords, lcsLength, lcsPath } from './lcs.js';
import { stemPorter } from './porter-stemmer.js';
import type { RougeScore } from './rouge-sentences.js';
import { countItems, countShared } from './token-f1.js';

/** Settings of Google's `rouge_score`. */
export interface RougeOptions {
  /** Porter stems (NLTK's extended mode) of tokens longer than three characters. Default false. */
  readonly stem?: boolean;
}

/** Lower-case runs of ASCII letters and digits; every other letter vanishes. */
function tokensOf(text: string, stem: boolean): string[] {
  const tokens = text.toLowerCase().match(/[a-z0-9]+/g) ?? [];
  return stem ? tokens.map((token) => (token.length > 3 ? stemPorter(token) : token)) : tokens;
}

function scoreOf(shared: number, predicted: number, expected: number): RougeScore {
  const precision = predicted === 0 ? 0 : shared / predicted;
  const recall = expected === 0 ? 0 : shared / expected;
  return { precision, recall, f1: precision + recall > 0 ? (2 * precision * recall) / (precision + recall) : 0 };
}

/** ROUGE-1 of `rouge_score`: clipped unigram counts (Lin 2004, section 2). */
export function rouge1(prediction: string, reference: string, { stem = false }: RougeOptions = {}): RougeScore {
  const [predicted, expected] = [tokensOf(prediction, stem), tokensOf(reference, stem)];
  return scoreOf(countShared(predicted, expected), predicted.length, expected.length);
}

/** ROUGE-L of `rouge_score`: one longest common subsequence over the whole texts (Lin 2004, section 3.1). */
export function rougeL(prediction: string, reference: string, { stem = false }: RougeOptions = {}): RougeScore {
  const [predicted, expected] = internWords(tokensOf(prediction, stem), tokensOf(reference, stem)) as [Int32Array, Int32Array];
  return scoreOf(lcsLength(expected, predicted), predicted.length, expected.length);
}

/**
 * ROUGE-Lsum of `rouge_score`: union of common subsequences per line, hits counted only while both texts still have an unused occurrence
 * (Lin 2004, section 3.2, with the clipping of ROUGE 1.5.5).
 */
export function rougeLsum(prediction: string, reference: string, { stem = false }: RougeOptions = {}): RougeScore {
  const lines = [prediction, reference].map((text) => text.split('\n').filter((line) => line !== ''));
  const [predictedLines = [], expectedLines = []] = lines.map((side) => side.map((line) => tokensOf(line, stem)));
  const ids = internWords(...predictedLines, ...expectedLines);
  const predicted = ids.slice(0, predictedLines.length);
  const expected = ids.slice(predictedLines.length);
  const [left, right] = [predicted, expected].map((side) => countItems(side.flatMap((line) => [...line]))) as [
    Map<number, number>,
    Map<number, number>,
  ];
  let hits = 0;
  for (const line of expected) {
    const union = new Set(predicted.flatMap((other) => lcsPath(line, other, 'a').indices));
    for (const index of [...union].sort((a, b) => a - b)) {
      const word = line[index] ?? -1;
      const [a, b] = [left.get(word) ?? 0, right.get(word) ?? 0];
      if (a === 0 || b === 0) continue;
      hits++;
      left.set(word, a - 1);
      right.set(word, b - 1);
    }
  }
  const total = (side: readonly Int32Array[]) => side.reduce((sum, line) => sum + line.length, 0);
  return scoreOf(hits, total(predicted), total(expected));
}
