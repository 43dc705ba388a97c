import { assemble, type Generated, type GeneratorSetting, type SampleRandom } from '../generated.js';
import type { RandomStream } from '../random.js';
import type { SizedGenerator } from '../size-search.js';
import { BASE_FACTS, type TaskRecipe } from '../task-facts.js';
import { vocabularyOf, type WordLists } from '../words.js';

type CommonRecipe = Extract<TaskRecipe, { base: 'cwe' }>;

interface Repeats {
  readonly common: number;
  readonly uncommon: number;
}

const numbered = (words: readonly string[]) => words.map((word, i) => `${i + 1}. ${word}`).join(' ');
const repeat = (words: readonly string[], times: number) => Array.from({ length: times }, () => words).flat();

/** A list in which the first words drawn come more often than the rest; the order repeats from sample to sample, as the reference's does. */
function drawList(
  vocabulary: readonly string[],
  size: number,
  commonWords: number,
  repeats: Repeats,
  own: RandomStream,
  order: RandomStream,
) {
  const words = own.distinct(vocabulary.length, Math.min(size, vocabulary.length)).map((i) => vocabulary[i] ?? '');
  const common = words.slice(0, commonWords);
  const list = order.shuffled([...repeat(common, repeats.common), ...repeat(words.slice(commonWords), repeats.uncommon)]);
  return { common, context: numbered(list) };
}

/**
 * Common words extraction (section 3.3): a numbered list in which ten words come often, after a short worked example. At most as many words
 * as there are in the vocabulary (8,169), where the reference goes on with a larger list that it downloads.
 */
export function commonWordsGenerator(recipe: CommonRecipe, setting: GeneratorSetting, words: WordLists): SizedGenerator {
  const vocabulary = vocabularyOf(words);
  const { template, answerPrefix } = BASE_FACTS.cwe;
  const short = setting.length < 4096;
  const exampleRepeats = short ? { common: 3, uncommon: 1 } : { common: 10, uncommon: 3 };
  const repeats = short ? { common: 6, uncommon: 1 } : { common: recipe.commonTimes, uncommon: recipe.uncommonTimes };

  function make(size: number, { own, repeated }: SampleRandom): Generated {
    const example = drawList(vocabulary, short ? 20 : 40, recipe.common, exampleRepeats, own, repeated);
    const sample = drawList(vocabulary, size, recipe.common, repeats, own, repeated);
    const worked = `${template.replace('{context}', () => example.context)}${answerPrefix} ${numbered(example.common)}\n`;
    return {
      ...assemble(`{worked}${template}`, answerPrefix, { worked, context: sample.context }, setting),
      outputs: sample.common,
    };
  }
  return { unit: 10, largest: vocabulary.length, make };
}
