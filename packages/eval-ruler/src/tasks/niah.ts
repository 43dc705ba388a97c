import { assemble, type Generated, type GeneratorSetting, type SampleRandom } from '../generated.js';
import { splitSentences, takeWords } from '../haystack.js';
import { drawMagic, drawNewMagic } from '../magic-values.js';
import type { SizedGenerator } from '../size-search.js';
import { BASE_FACTS, NOISE_LINE, type TaskRecipe } from '../task-facts.js';
import type { WordLists } from '../words.js';

type NiahRecipe = Extract<TaskRecipe, { base: 'niah' }>;

/** Depths in percent, of which a sample takes one per needle: round(linspace(0, 100, 40)). */
const DEPTHS = Array.from({ length: 40 }, (_, i) => Math.round((i * 100) / 39));

const needle = (kind: string, key: string, value: string) => `One of the special magic ${kind} for ${key} is: ${value}.`;

/** Needles between sentences at random depths. */
function hideInEssay(sentences: readonly string[], needles: readonly string[], { own }: SampleRandom): string {
  const cuts = own
    .distinct(DEPTHS.length, needles.length)
    .map((i) => Math.floor((sentences.length * (DEPTHS[i] ?? 0)) / 100))
    .sort((a, b) => a - b);
  const pieces = [0, ...cuts].map((from, i) => sentences.slice(from, cuts[i] ?? sentences.length).join(' '));
  return pieces.flatMap((piece, i) => [piece, ...needles.slice(i, i + 1)]).join(' ');
}

/** Needles among lines: the i-th at the i-th largest of distinct random indexes. */
function hideInLines(lines: string[], needles: readonly string[], { own }: SampleRandom): string {
  const indexes = own.distinct(lines.length, needles.length).sort((a, b) => b - a);
  needles.forEach((text, i) => {
    lines.splice(indexes[i] ?? 0, 0, text);
  });
  return lines.join('\n');
}

/** "a", "a, and b", "a, b, and c". */
const enumerate = (items: readonly string[]) =>
  items.length > 1 ? `${items.slice(0, -1).join(', ')}, and ${items.at(-1)}` : (items[0] ?? '');

/** The reference's wording for a single answer; it also reaches into the model's template ("You are" becomes "You is"). */
const singular = (text: string) =>
  text.replaceAll('Some', 'A').replaceAll('are all', 'is').replaceAll('are', 'is').replaceAll('answers', 'answer');

/**
 * Needles in a haystack (section 3.1 of the paper): noise lines, essays, or other needles as hay; several keys, several values per key, or
 * several keys asked for. Keys differ from each other and from those of the hay, which the reference leaves to chance.
 */
export function niahGenerator(
  recipe: NiahRecipe,
  setting: GeneratorSetting,
  words: WordLists,
  essay: readonly string[],
): SizedGenerator {
  const { haystack, keys: keyKind, values: valueKind } = recipe;
  const [keysAsked, valuesPerKey, queries] = recipe.counts;
  const single = queries * valuesPerKey === 1;
  const { template, answerPrefix } = BASE_FACTS.niah;
  const wording = single ? singular : (text: string) => text;

  function make(size: number, random: SampleRandom): Generated {
    const { own, repeated } = random;
    const taken = new Set<string>();
    const pairs = Array.from({ length: Math.max(keysAsked, queries) }, () => ({
      key: drawNewMagic(keyKind, own, words, taken),
      values: Array.from({ length: valuesPerKey }, () => drawMagic(valueKind, own, words)),
    }));
    const needles = repeated.shuffled(pairs.flatMap(({ key, values }) => values.map((value) => needle(valueKind, key, value))));
    const lines = () =>
      Array.from({ length: size }, () =>
        haystack === 'noise'
          ? NOISE_LINE
          : needle(valueKind, drawNewMagic(keyKind, own, words, taken), drawMagic(valueKind, own, words)),
      );
    const context =
      haystack === 'essay'
        ? hideInEssay(splitSentences(takeWords(essay, size)), needles, random)
        : hideInLines(lines(), needles, random);
    const asked = own.distinct(pairs.length, queries).map((i) => pairs[i] ?? { key: '', values: [] });
    const values = {
      context,
      query: enumerate(asked.map(({ key }) => key)),
      type_needle_v: single ? valueKind.slice(0, -1) : valueKind,
    };
    return {
      ...assemble(wording(template), wording(answerPrefix), values, { modelTemplate: wording(setting.modelTemplate) }),
      outputs: asked.flatMap((pair) => pair.values),
    };
  }

  // The reference's 500 words leave no room for prompts below about 900 tokens.
  const essayUnit = Math.min(500, Math.max(10, Math.floor(setting.length / 8)));
  return { unit: haystack === 'essay' ? essayUnit : setting.length < 4096 ? 5 : 25, make };
}
