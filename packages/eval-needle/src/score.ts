import {
  normalizeEnglish,
  type RougeScore,
  rouge1,
  rougeLSentences,
  rougeNSentences,
  splitWords,
  strip,
} from '@kvsift/eval-text';
import type { Needle } from './presets.js';

/**
 * Which number is the score. `overlap`: distinct words of the answer found, what the published heat maps show ("day." with its period).
 * `rouge1`: stemmed ROUGE-1 F against the whole needle, what the runners store (times ten). `kvpress`: ROUGE-L of the package `rouge` with
 * the sides exchanged, as that runner calls it. `fixed`: ours, `overlap` without regard to punctuation and articles.
 */
export const NEEDLE_PROFILES = ['overlap', 'rouge1', 'kvpress', 'fixed'] as const;
/** Name of a way to score. */
export type NeedleProfile = (typeof NEEDLE_PROFILES)[number];

function sharedWords(found: readonly string[], wanted: readonly string[]): number {
  const words = new Set(wanted);
  const said = new Set(found);
  return [...words].filter((word) => said.has(word)).length / words.size;
}

/**
 * The three ROUGE scores that kvpress reports: texts stripped, and the needle given where the library expects the response, so that
 * precision and recall are exchanged.
 * @throws KvsiftError `score_error` (ValueError) where the response has no words
 */
export function kvpressRouge(response: string, needle: string): Record<'rouge1' | 'rouge2' | 'rougeL', RougeScore> {
  const [hypothesis, reference] = [strip(needle), strip(response)];
  return {
    rouge1: rougeNSentences(hypothesis, reference, 1),
    rouge2: rougeNSentences(hypothesis, reference, 2),
    rougeL: rougeLSentences(hypothesis, reference),
  };
}

/**
 * Score of a response for one needle, 0 … 1.
 * @throws KvsiftError `score_error` (ValueError) under `kvpress` where the response has no words
 */
export function scoreNeedle(response: string, { text, answer }: Needle, profile: NeedleProfile): number {
  switch (profile) {
    case 'overlap':
      return sharedWords(splitWords(response.toLowerCase()), splitWords(answer.toLowerCase()));
    case 'rouge1':
      return rouge1(response, text, { stem: true }).f1;
    case 'kvpress':
      return kvpressRouge(response, text).rougeL.f1;
    case 'fixed':
      return sharedWords(normalizeEnglish(response), normalizeEnglish(answer));
  }
}
