import { replaceBySpace, splitWords, strip, wholeWord } from '@kvsift/eval-text';
import { answersOf, asText, firstOf, item, iterate } from '../label.js';
import type { TaskScorer } from '../profiles.js';

const SEPARATORS = ['\n', ':', '"', "'", '.', ',', '?', '!', '{', '}'];
const words = (text: string) => splitWords(replaceBySpace(text, SEPARATORS));
const firstDigits = (text: string) => /[0-9]+/.exec(text)?.[0] ?? '';

/** Retrieve.PassKey and Retrieve.Number: the first run of ASCII digits, compared as text. */
export const scoreFirstInteger: TaskScorer = (prediction, label) => {
  const answer = firstOf(label);
  return Number((typeof answer === 'number' ? String(answer) : answer) === firstDigits(prediction));
};

/** Retrieve.KV: the label must be one of the words. In the reference a list never equals a word, so that such rows always score 0. */
export const scoreKeyValue: TaskScorer = (prediction, label, { profile }) => {
  if (profile === 'fixed') {
    const found = splitWords(replaceBySpace(prediction, [...SEPARATORS, '`', ';', '(', ')', '[', ']', '*']));
    return Number(answersOf(label).some((answer) => found.includes(asText(answer))));
  }
  const answer = profile === 'kvpress' ? firstOf(label) : label;
  return Number(typeof answer === 'string' && words(prediction).includes(answer));
};

/** En.Dia: the first label among the words (so a name of two words is never found); kvpress: any label inside the text. */
export const scoreDialogue: TaskScorer = (prediction, label, { profile }) => {
  const text = strip(prediction);
  if (profile === 'kvpress') {
    const upper = text.toUpperCase();
    return Number(iterate(label).some((name) => upper.includes(asText(name).toUpperCase())));
  }
  if (profile === 'fixed') {
    const names = answersOf(label).map((name) => asText(name).replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
    return Number(names.some((name) => wholeWord(name, 'i').test(text)));
  }
  const name = item(label, 0);
  return Number(words(text).some((word) => word.toUpperCase() === name));
};
