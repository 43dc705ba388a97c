import {
  createJiebaSegmenter,
  type JsonValue,
  roundHalfEven,
  roundNumpy,
  type Segmenter,
  stripStart,
  sumNumpy,
} from '@kvsift/eval-text';
import { METRICS } from './metrics.js';
import { LONGBENCH_RULES, type LongBenchProfile } from './profiles.js';
import { FIRST_LINE_TASKS, type LongBenchTask, TASK_FACTS } from './tasks.js';

/** What a prediction is compared with. */
export interface LongBenchExpected extends Readonly<Record<string, JsonValue>> {
  readonly answers: readonly string[];
  /** Class names of trec and lsht, else null. */
  readonly allClasses: readonly string[] | null;
}

/** One prediction to score. */
export interface LongBenchCase {
  readonly task: LongBenchTask;
  readonly prediction: string;
  readonly expected: LongBenchExpected;
  readonly profile?: LongBenchProfile;
  /** LongBench-E; only `kvpress` treats its predictions otherwise. Default false. */
  readonly extended?: boolean;
}

/** Best score over the answers, 0 … 1; 0 without answers. */
export type LongBenchScorer = (item: LongBenchCase) => number;

/**
 * Makes a scorer.
 * @param segmenter cuts Chinese text; default: jieba, read when the first Chinese task is scored
 * @returns a function that throws `score_error` where the profile's reference raises
 */
export function createLongBenchScorer(segmenter?: Segmenter): LongBenchScorer {
  let made = segmenter;
  const segment: Segmenter = (text) => {
    made ??= createJiebaSegmenter();
    return made(text);
  };
  return ({ task, prediction, expected, profile = 'reference', extended = false }) => {
    const rules = LONGBENCH_RULES[profile];
    let text = rules.stripStart && !extended ? stripStart(prediction) : prediction;
    if (FIRST_LINE_TASKS.has(task)) text = text.replace(/^\n+/, '').split('\n')[0] ?? '';
    const metric = METRICS[TASK_FACTS[task].metric];
    const context = { rules, allClasses: expected.allClasses, segment };
    return expected.answers.reduce((best, answer) => Math.max(best, metric(text, answer, context)), 0);
  };
}

/** Score of a task as LongBench prints it: 100 · mean, two decimals, rounded as Python does; null without scores. */
export function taskScore(scores: readonly number[]): number | null {
  if (scores.length === 0) return null;
  return roundHalfEven((100 * scores.reduce((sum, score) => sum + score, 0)) / scores.length, 2);
}

/** The length buckets of LongBench-E, by the row's `length`: words, or characters in Chinese. */
export const LENGTH_BUCKETS = ['0-4k', '4-8k', '8k+'] as const;
/** One of `LENGTH_BUCKETS`. */
export type LengthBucket = (typeof LENGTH_BUCKETS)[number];

/** Bucket of a row: below 4,000, below 8,000, the rest. */
export function bucketOf(length: number): LengthBucket {
  return length < 4000 ? '0-4k' : length < 8000 ? '4-8k' : '8k+';
}

/** Scores per bucket as LongBench-E prints them, summed and rounded as NumPy does; null for an empty bucket (NaN there). */
export function bucketScores(
  scored: readonly { readonly score: number; readonly length: number }[],
): Record<LengthBucket, number | null> {
  const score = (bucket: LengthBucket) => {
    const scores = scored.filter(({ length }) => bucketOf(length) === bucket).map((item) => item.score);
    return scores.length === 0 ? null : roundNumpy(100 * (sumNumpy(scores) / scores.length), 2);
  };
  return { '0-4k': score('0-4k'), '4-8k': score('4-8k'), '8k+': score('8k+') };
}
