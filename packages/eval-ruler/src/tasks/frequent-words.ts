import { KvsiftError } from '@kvsift/tensor';
import { assemble, type Generated, type Generator, type GeneratorSetting, textOf } from '../generated.js';
import { RandomStream } from '../random.js';
import { BASE_FACTS, type TaskRecipe } from '../task-facts.js';

type FrequentRecipe = Extract<TaskRecipe, { base: 'fwe' }>;

const LETTERS = [...'abcdefghijklmnopqrstuvwxyz'];
const WORD_LENGTH = 6;
/** Takes the place of the most frequent word. */
const DOTS = '...';
const OWN = 1;
const ORDER = 2;

/** Riemann's zeta for an argument above 1: Euler–Maclaurin from 20 on, exact to double precision. */
function zeta(s: number): number {
  const n = 20;
  let sum = 0;
  for (let k = 1; k < n; k++) sum += k ** -s;
  return sum + n ** (1 - s) / (s - 1) + n ** -s / 2 + (s * n ** (-s - 1)) / 12 - (s * (s + 1) * (s + 2) * n ** (-s - 3)) / 720;
}

/** Times that the word of rank k comes: ⌊N · k^−α / ζ(α)⌋. */
const timesOf = (rank: number, total: number, alpha: number) => Math.floor((total * rank ** -alpha) / zeta(alpha));

/**
 * Frequent words extraction (section 3.3): random six-letter words with Zipf frequencies; the most frequent is written as dots, asked are
 * the next three. The order repeats from sample to sample, as the reference's does.
 */
export function frequentWordsGenerator({ alpha }: FrequentRecipe, setting: GeneratorSetting): Generator {
  const { template, answerPrefix, tokensToGenerate } = BASE_FACTS.fwe;
  const room = setting.length - tokensToGenerate;
  const vocabularySize = Math.floor(room / 50);
  const first = Math.floor(room / 6);
  const step = Math.floor(room / 32);
  if (vocabularySize < 4 || step < 1) {
    throw new KvsiftError(
      'invalid_argument',
      `expected a RULER length of at least ${tokensToGenerate + 200} tokens for fwe, got ${setting.length}`,
    );
  }

  function vocabularyOf(index: number): string[] {
    const random = new RandomStream({ seed: setting.seed, sample: index, purpose: OWN });
    const words = new Set<string>([DOTS]);
    while (words.size <= vocabularySize - 1) words.add(Array.from({ length: WORD_LENGTH }, () => random.pick(LETTERS)).join(''));
    return [...words];
  }

  function make(vocabulary: readonly string[], total: number, index: number): Generated & { readonly tokens: number } {
    const list = vocabulary.flatMap((word, i) => Array.from({ length: timesOf(i + 1, total, alpha) }, () => word));
    const order = new RandomStream({ seed: setting.seed, sample: setting.freshShuffles ? index : 0, purpose: ORDER });
    const sample = assemble(template, answerPrefix, { context: order.shuffled(list).join(' ') }, setting);
    return {
      ...sample,
      outputs: vocabulary.slice(1, 4),
      tokens: setting.tokenizer.encode(textOf(sample)).length + tokensToGenerate,
    };
  }

  /** Grows while the sample is shorter than the length, then stays a step below, like the reference; the first sample decides for all. */
  function findTotal(index: number): number {
    const vocabulary = vocabularyOf(index);
    let total = first;
    while (make(vocabulary, total, index).tokens < setting.length) total += step;
    return total - step;
  }

  let found: number | undefined;
  return {
    available: Infinity,
    sample(index) {
      found ??= findTotal(0);
      const vocabulary = vocabularyOf(index);
      for (let total = found; total > 0; total -= step) {
        const sample = make(vocabulary, total, index);
        if (sample.tokens <= setting.length) return sample;
      }
      throw new KvsiftError(
        'invalid_argument',
        `expected a RULER length that holds the smallest fwe sample, got ${setting.length}`,
      );
    },
  };
}
