import type { TextTokenizer } from '@kvsift/eval';
import { scoreError } from '@kvsift/eval-text';
import { MersenneTwister } from './mersenne-twister.js';
import { NOISE } from './noise.js';

const GARBAGE = Array.from({ length: 5000 }, () => NOISE).join(' ');
const TASK =
  'There is an important info hidden inside a lot of irrelevant text. Find it and memorize them. I will quiz you about the important information there.';

/** Characters of garbage of the published prompts: about 1,000 … 32,000 tokens of Llama 2. */
export const LANDMARK_LENGTHS: readonly number[] = Array.from(
  { length: 32 },
  (_, i) => Math.floor((3.75 * (i + 1) * 1000) / 1024) * 1024,
);
/** Seeds per length of the published runs. */
export const LANDMARK_SEEDS: readonly number[] = Array.from({ length: 10 }, (_, seed) => seed);

/** One prompt of the landmark form. */
export interface LandmarkPrompt {
  /** Characters of garbage before the key. */
  readonly prefixLength: number;
  readonly passKey: number;
  readonly context: string;
  readonly question: string;
  readonly answerPrefix: string;
}

/**
 * Builds a prompt (Mohtashami and Jaggi, "Landmark Attention", 2023; the published ones for the lengths and seeds above).
 * @param garbage characters of filling text, at most 449,999; cut in mid-word on both sides of the key
 */
export function landmarkPrompt(garbage: number, seed: number): LandmarkPrompt {
  const random = new MersenneTwister(seed);
  const prefixLength = random.integer(0, garbage);
  const passKey = random.integer(1, 50000);
  const context = [
    TASK,
    GARBAGE.slice(0, prefixLength),
    `The pass key is ${passKey}. Remember it. ${passKey} is the pass key.`,
    GARBAGE.slice(0, garbage - prefixLength),
  ].join('\n');
  return { prefixLength, passKey, context, question: '\nWhat is the pass key? ', answerPrefix: 'The pass key is' };
}

/**
 * The published test: the first generated ids equal those of the key's digits without the first, which is taken for begin-of-text. A
 * tokenizer that adds none, or that writes " 123" otherwise than "123", fails it by construction; see `firstInteger` in the suite.
 * @throws KvsiftError `score_error` (IndexError) where fewer ids were generated than are compared
 */
export function matchesLandmarkIds(
  generated: readonly number[],
  passKey: number,
  encodeWithBos: TextTokenizer['encode'],
): boolean {
  const wanted = Array.from(encodeWithBos(String(passKey))).slice(1);
  if (generated.length < wanted.length)
    throw scoreError('IndexError', `expected ${wanted.length} generated ids, got ${generated.length}`);
  return wanted.every((id, i) => generated[i] === id);
}
