import { normalizeChinese, normalizeEnglish } from './normalize.js';
import { codePoints } from './python-text.js';

/** How often each item occurs. */
export function countItems<T>(items: Iterable<T>): Map<T, number> {
  const counts = new Map<T, number>();
  for (const item of items) counts.set(item, (counts.get(item) ?? 0) + 1);
  return counts;
}

/** Size of the multiset intersection. */
export function countShared<T>(a: Iterable<T>, b: Iterable<T>): number {
  const counts = countItems(a);
  let shared = 0;
  for (const item of b) {
    const left = counts.get(item) ?? 0;
    if (left === 0) continue;
    counts.set(item, left - 1);
    shared++;
  }
  return shared;
}

/** Harmonic mean of precision and recall over the multiset intersection; 0 where nothing is shared, also for two empty lists. */
export function tokenF1(prediction: readonly string[], reference: readonly string[]): number {
  const shared = countShared(prediction, reference);
  if (shared === 0) return 0;
  const precision = shared / prediction.length;
  const recall = shared / reference.length;
  return (2 * precision * recall) / (precision + recall);
}

/** Word F1 after English normalisation. */
export function englishF1(prediction: string, reference: string): number {
  return tokenF1(normalizeEnglish(prediction), normalizeEnglish(reference));
}

/** Character F1 after Chinese normalisation (InfiniteBench Zh.QA). */
export function chineseCharacterF1(prediction: string, reference: string): number {
  return tokenF1(codePoints(normalizeChinese(prediction)), codePoints(normalizeChinese(reference)));
}
