import { chineseCharacterF1, englishF1, rougeLsum, scoreError } from '@kvsift/eval-text';
import { answersOf, asText, iterate, type Label } from '../label.js';
import type { TaskScorer } from '../profiles.js';

const best = (answers: readonly Label[], score: (answer: string) => number) =>
  answers.reduce<number>((highest, answer) => Math.max(highest, score(asText(answer))), 0);

/** In the references a label that is one string is taken character by character, each an answer; `fixed` takes it whole. */
const answers = (label: Label, profile: string) => (profile === 'fixed' ? answersOf(label) : iterate(label));

/** En.QA: best word F1. */
export const scoreEnglishAnswer: TaskScorer = (prediction, label, { profile }) =>
  best(answers(label, profile), (answer) => englishF1(prediction, answer));

/** Zh.QA: best character F1. */
export const scoreChineseAnswer: TaskScorer = (prediction, label, { profile }) =>
  best(answers(label, profile), (answer) => chineseCharacterF1(prediction, answer));

/** En.Sum: best ROUGE-Lsum F1. kvpress refuses the task. */
export const scoreSummary: TaskScorer = (prediction, label, { profile }) => {
  if (profile === 'kvpress') throw scoreError('AssertionError', 'kvpress does not score longbook_sum_eng');
  return best(answersOf(label), (answer) => rougeLsum(prediction, answer).f1);
};
