import {
  englishF1,
  fuzzRatio,
  guardScore,
  normalizeChinese,
  rougeLSentences,
  type Segmenter,
  scoreError,
  tokenF1,
} from '@kvsift/eval-text';
import type { ScoringRules } from './profiles.js';
import type { LongBenchMetric } from './tasks.js';

/** What a metric is given besides the two texts. */
export interface MetricContext {
  readonly rules: ScoringRules;
  /** Class names of trec and lsht; null in the other tasks. */
  readonly allClasses: readonly string[] | null;
  readonly segment: Segmenter;
}

type Metric = (prediction: string, answer: string, context: MetricContext) => number;

const NUMBERS = /\p{Nd}+/gu;

const rouge: Metric = (prediction, answer, { rules: { maxMoves } }) => {
  // The reference catches the error of a text without sentences.
  const score = guardScore(() => rougeLSentences(prediction, answer, { maxMoves }));
  return 'f1' in score ? score.f1 : 0;
};

/** Share of the numbers in a prediction that are the right one, compared as text. */
function shareOfNumbers(prediction: string, right: string): number {
  const numbers = prediction.match(NUMBERS) ?? [];
  return numbers.length === 0 ? 0 : numbers.filter((number) => number === right).length / numbers.length;
}

const retrieval =
  (pattern: RegExp): Metric =>
  (prediction, answer) => {
    const right = pattern.exec(answer)?.[1];
    if (right === undefined) throw scoreError('IndexError', `the answer ${JSON.stringify(answer)} names no paragraph`);
    return shareOfNumbers(prediction, right);
  };

/** Share of the right class among the class names inside the prediction; classes that are part of the right one's name do not count. */
const classification: Metric = (prediction, answer, { allClasses, rules }) => {
  if (allClasses === null) throw scoreError('TypeError', 'the row has no list of classes');
  const matches = allClasses.filter((name) => prediction.includes(name));
  const isPart = (name: string) => answer.includes(name) && name !== answer;
  const kept = rules.repaired ? matches.filter((name) => !isPart(name)) : removeWhileWalking(matches, isPart);
  return kept.includes(answer) ? 1 / kept.length : 0;
};

/** The reference removes from the list that it walks: each removal (of the first equal item) makes it skip the next one. */
function removeWhileWalking(matches: readonly string[], isPart: (name: string) => boolean): string[] {
  const list = [...matches];
  for (let i = 0; i < list.length; i++) {
    const name = list[i];
    if (name !== undefined && isPart(name)) list.splice(list.indexOf(name), 1);
  }
  return list;
}

/** First line of code: the reference takes none with a backquote, `#` or `//`; repaired, only fences and comments are passed over. */
function firstCodeLine(prediction: string, answer: string, repaired: boolean): string {
  const isComment = (line: string) => /^\s*(?:#|\/\/)/.test(line);
  const isSkipped = (line: string) =>
    repaired ? line.trim() === '' || line.includes('```') || (isComment(line) && !isComment(answer)) : /`|#|\/\//.test(line);
  return (
    prediction
      .replace(/^\n+/, '')
      .split('\n')
      .find((line) => !isSkipped(line)) ?? ''
  );
}

/** One metric per kind of task: prediction and one answer to 0 … 1. */
export const METRICS: Readonly<Record<LongBenchMetric, Metric>> = {
  f1: englishF1,
  'f1-zh': (prediction, answer, { segment }) => {
    const tokens = (text: string) =>
      segment(text)
        .map(normalizeChinese)
        .filter((token) => token !== '');
    return tokenF1(tokens(prediction), tokens(answer));
  },
  rouge,
  'rouge-zh': (prediction, answer, context) =>
    rouge(context.segment(prediction).join(' '), context.segment(answer).join(' '), context),
  class: classification,
  count: shareOfNumbers,
  retrieval: retrieval(/Paragraph (\p{Nd}+)/u),
  'retrieval-zh': retrieval(/段落(\p{Nd}+)/u),
  code: (prediction, answer, { rules }) =>
    fuzzRatio(firstCodeLine(prediction, answer, rules.repaired), answer, rules.codeSimilarity) / 100,
};
