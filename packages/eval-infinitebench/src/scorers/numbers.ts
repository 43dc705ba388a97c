import { parsePythonFloat, parsePythonInt, replaceBySpace, scoreError, splitWords, strip } from '@kvsift/eval-text';
import { firstOf, item, type Label } from '../label.js';
import type { TaskScorer } from '../profiles.js';

const CODE_SEPARATORS = ['\n', '.', '`', "'", '"', ':'];
const NUMBER = /\p{Nd}+\.\p{Nd}+|\p{Nd}+/u;
/** Not a digit of a name such as func_3, nor an argument. */
const STANDALONE_NUMBER = /(?<![\w(.,]|[\w(][-−])[-−]?\d+(?:\.\d+)?(?!\w)/g;
const SIGNED_NUMBER = /[-−]?\d+(?:\.\d+)?/g;

const signed = (text: string) => Number(text.replace('−', '-'));
const floatOf = (label: Label) =>
  typeof label === 'object' && label !== null && 'float' in label && typeof label.float === 'number' ? label.float : undefined;

/** Code.Run: the last word as a Python int. `fixed`: the last number outside names and calls, with its sign, whatever follows it. */
export const scoreCodeRun: TaskScorer = (prediction, label, { profile }) => {
  const answer = firstOf(label);
  if (profile === 'fixed') {
    const last = prediction.match(STANDALONE_NUMBER)?.at(-1);
    return Number(last !== undefined && signed(last) === answer);
  }
  const last = splitWords(replaceBySpace(strip(prediction), CODE_SEPARATORS)).at(-1);
  if (last === undefined) return 0;
  try {
    return Number(Number(parsePythonInt(last)) === (floatOf(answer) ?? answer));
  } catch {
    return 0;
  }
};

/**
 * Math.Find: the first number without its sign. For an int label OpenBMB converts with `int()`, which raises on "84.5" and ends the run;
 * NACL goes through `float()` and truncates. `fixed`: with sign, compared as numbers.
 */
export const scoreMathFind: TaskScorer = (prediction, label, { profile }) => {
  const answer = firstOf(label);
  const float = floatOf(answer);
  if (float === undefined && typeof answer !== 'number') {
    throw scoreError('TypeError', `expected an int or a float as label, got ${JSON.stringify(answer)}`);
  }
  if (profile === 'fixed') {
    const found = prediction.match(SIGNED_NUMBER)?.[0];
    return Number(found !== undefined && signed(found) === (float ?? answer));
  }
  const found = NUMBER.exec(prediction)?.[0];
  if (found === undefined) return 0;
  if (float !== undefined) return Number(parsePythonFloat(found) === float);
  return Number((profile === 'nacl' ? Math.trunc(parsePythonFloat(found)) : Number(parsePythonInt(found))) === answer);
};

/** Share of equal numbers before the first difference. */
function matchingPrefix(numbers: readonly number[], labels: readonly Label[]): number {
  const wrong = labels.findIndex((label, i) => numbers[i] !== label);
  return (wrong < 0 ? labels.length : wrong) / labels.length;
}

/**
 * Math.Calc: all digit runs (signs are lost) against the label from the start. The label omits the first operand that the prompt's examples
 * show; the reference drops one number for the model named `gpt4` only, `fixed` takes the better of both readings.
 */
export const scoreMathCalc: TaskScorer = (prediction, label, { profile, model }) => {
  if (!Array.isArray(label)) throw scoreError('AssertionError', `expected a list as label, got ${JSON.stringify(label)}`);
  const first = item(label, 0);
  const labels = (Array.isArray(first) ? first : label) as readonly Label[];
  if (profile === 'fixed') {
    const numbers = (prediction.match(SIGNED_NUMBER) ?? []).map(signed);
    return Math.max(matchingPrefix(numbers, labels), matchingPrefix(numbers.slice(1), labels));
  }
  const numbers = (prediction.match(/[0-9]+/g) ?? []).map((digits) => Number(parsePythonInt(digits)));
  return matchingPrefix(model === 'gpt4' ? numbers.slice(1) : numbers, labels);
};
