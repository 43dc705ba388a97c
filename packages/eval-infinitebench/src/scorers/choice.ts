import { codePoints, replaceBySpace, splitWords, squeezeSpaces, strip, wholeWord } from '@kvsift/eval-text';
import { asText, contains, item, iterate, type Label } from '../label.js';
import type { TaskScorer } from '../profiles.js';

const DEBUG_REMOVED = ['\n', '`', "'", '"', '-', '*', 'Option', 'option'];
const DEBUG_PREFIXES = ['answer is:', 'is:', 'answer:', 'correct option is:'];
const CHOICE_REMOVED = ['\n', '"', "'", '.', ',', '?', '!', '{', '}'];
const CHOICE_PREFIXES = ['answer is:', 'answer:', 'answer is', 'option is'];

/** What follows the first of `prefixes` that the text has, one character further on; undefined without prefix, null where nothing follows. */
function afterPrefix(text: string, prefixes: readonly string[]): string | null | undefined {
  const prefix = prefixes.find((candidate) => text.includes(candidate));
  if (prefix === undefined) return undefined;
  const rest = text.slice(text.indexOf(prefix) + prefix.length);
  return rest === '' ? null : codePoints(rest).slice(1).join('');
}

/** kvpress: the last stand-alone letter of the first line that has one. */
function lastLetterOfLine(text: string, letters: string): string | undefined {
  const letter = wholeWord(`[${letters}]`, 'g');
  for (const line of text.split('\n')) {
    const found = line.match(letter);
    if (found !== null) return found.at(-1);
  }
  return undefined;
}

/** `fixed`: the letter that an answer gives, if it gives one: at its start, after a phrase such as "the answer is", or the only one named. */
function givenLetter(text: string): string | undefined {
  const atStart = /^[\s*("'`]*(?:[Oo]ption\s+)?([A-D])(?![\p{L}\p{N}_'’])(?!\s+\p{Ll})/u.exec(text);
  const stated =
    /(?:answer|option|choice|letter)(?: of [\w ]+)? ?(?:is|:)[\s:*("'`]*(?:[Oo]ption\s+)?([A-D])(?![\p{L}\p{N}_])/iu.exec(text);
  const named = new Set(text.match(wholeWord('[A-D]', 'g')));
  return atStart?.[1] ?? stated?.[1] ?? (named.size === 1 ? [...named][0] : undefined);
}

function scoreFixed(prediction: string, [text, letter]: readonly [text: string, letter: string]): number {
  const given = givenLetter(strip(prediction));
  return Number(given !== undefined ? given === letter : prediction.toLowerCase().includes(text.toLowerCase()));
}

const pairOf = (label: Label) => [asText(item(label, 0)), asText(item(label, 1))] as const;

/** Code.Debug, label [name, letter]. In the reference a bare right letter scores 0: only "A.", "A:" and what follows a phrase count. */
export const scoreCodeDebug: TaskScorer = (prediction, label, { profile }) => {
  const [name, letter] = pairOf(label);
  if (profile === 'fixed') return scoreFixed(prediction, [name, letter]);
  const text = strip(prediction);
  const startsRight = (candidate: string) => candidate.startsWith(letter) || candidate.startsWith(name);
  if (profile === 'kvpress') {
    if (lastLetterOfLine(text, 'A-J') === letter) return 1;
  } else if (text.startsWith(`${letter}.`) || text.startsWith(`${letter}:`)) return 1;
  const plain = squeezeSpaces(replaceBySpace(text, DEBUG_REMOVED));
  if (profile === 'kvpress' && startsRight(plain)) return 1;
  const rest = afterPrefix(plain, DEBUG_PREFIXES);
  return Number(typeof rest === 'string' && startsRight(rest));
};

/** En.MC, label [text, letter]. In the reference any answer that starts with A–D counts as that letter ("At the …"). */
export const scoreBookChoice: TaskScorer = (prediction, label, { profile }) => {
  if (profile === 'fixed') return scoreFixed(prediction, pairOf(label));
  const text = strip(prediction);
  if (profile === 'kvpress') {
    const letter = lastLetterOfLine(text, 'A-D');
    if (letter !== undefined && contains(label, letter)) return 1;
  }
  if (text === '') return 0;
  if (/^[A-D]/.test(text)) return Number(contains(label, text.slice(0, 1)));
  if (contains(label, text)) return 1;
  const plain = squeezeSpaces(replaceBySpace(text, CHOICE_REMOVED));
  const rest = afterPrefix(plain, CHOICE_PREFIXES);
  if (rest !== undefined) return Number(rest !== null && iterate(label).some((answer) => rest.startsWith(asText(answer))));
  const word = splitWords(plain).find((candidate) => 'ABCD'.includes(candidate));
  return Number(word !== undefined && contains(label, word));
};
