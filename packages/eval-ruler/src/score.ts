import { roundHalfEven, scoreError, strip, wholeWord } from '@kvsift/eval-text';
import { RULER_RECIPES, type RulerTask } from './task-facts.js';

/**
 * Whose scoring rules are used. `reference`: NVIDIA/RULER c3f5e3b. `kvpress`: 8bb29b9, deletes control characters instead of breaking the
 * line there. `kvcache-factory`: c97f9d7, cleans nothing. `fixed`: ours, answers count only as whole words.
 */
export const RULER_PROFILES = ['reference', 'kvpress', 'kvcache-factory', 'fixed'] as const;
/** Name of a way to score. */
export type RulerProfile = (typeof RULER_PROFILES)[number];

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters that the reference replaces
const CONTROL = /[\x00-\x1f]/g;

/** The prediction as it is compared. */
export function cleanPrediction(prediction: string, profile: RulerProfile): string {
  if (profile === 'kvcache-factory') return prediction;
  return strip(strip(prediction).replace(CONTROL, profile === 'kvpress' ? '' : '\n'));
}

const bounded = (reference: string) => wholeWord(reference.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'), 'i');

/**
 * Share of the references inside the prediction (any of them in the question-answering tasks), case ignored.
 * @returns 0 … 1
 * @throws KvsiftError `score_error` where there are no references (`fixed`: 0)
 */
export function scoreRuler(task: RulerTask, prediction: string, outputs: readonly string[], profile: RulerProfile): number {
  const text = cleanPrediction(prediction, profile);
  const lower = text.toLowerCase();
  const references = profile === 'fixed' ? [...new Set(outputs)].filter((output) => output !== '') : outputs;
  const found = references.filter((output) =>
    profile === 'fixed' ? bounded(output).test(text) : lower.includes(output.toLowerCase()),
  ).length;
  const isAny = RULER_RECIPES[task].base === 'qa';
  if (references.length === 0) {
    if (profile === 'fixed') return 0;
    throw scoreError(isAny ? 'ValueError' : 'ZeroDivisionError', `the sample of ${task} has no reference answers`);
  }
  return isAny ? Number(found > 0) : found / references.length;
}

/** Score of a task as RULER prints it: 100 · mean, two decimals. */
export function rulerTaskScore(scores: readonly number[]): number | null {
  if (scores.length === 0) return null;
  return roundHalfEven((scores.reduce((sum, score) => sum + score, 0) / scores.length) * 100, 2);
}
