import { BASE_FACTS, RULER_RECIPES, type RulerTask } from '@kvsift/eval-ruler';
import { fillTemplate, splitWords } from '@kvsift/eval-text';
import { expectSame } from '../compare.js';
import { Mismatch } from '../tally.js';

/** What a RULER sample says, whoever made it. */
export interface RulerText {
  /** Prompt and answer prefix together. */
  readonly text: string;
  readonly outputs: readonly string[];
}

/** Sizes that can be compared between two samples of equal length. */
export type RulerSizes = Readonly<Record<string, number>>;

const NOISE = 'The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again.';
const NEEDLE = /One of the special magic (\w+) for (.+?) is: ([0-9a-f-]+)\./g;

const unique = <T>(items: readonly T[]) => new Set(items).size;

/** @throws Mismatch saying what was expected */
function demand(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Mismatch(`expected ${what}`);
}

/** The text between the template's two sides, and how often the prompt's template comes. */
function insideOf(text: string, template: string, values: Readonly<Record<string, string>>): string {
  const [before = '', after = ''] = template.split('{context}').map((side) => fillTemplate(side, values));
  demand(text.startsWith(before), `a prompt that begins with ${JSON.stringify(before)}`);
  demand(text.endsWith(after), `a prompt that ends with ${JSON.stringify(after)}`);
  return text.slice(before.length, text.length - after.length);
}

function checkNiah(task: RulerTask, { text, outputs }: RulerText): RulerSizes {
  const recipe = RULER_RECIPES[task];
  demand(recipe.base === 'niah', 'a needle task');
  const [keys, valuesPerKey, queries] = recipe.counts;
  const single = valuesPerKey * queries === 1;
  const kind = single ? recipe.values.slice(0, -1) : recipe.values;
  const { template, answerPrefix } = BASE_FACTS.niah;
  const whole = template + answerPrefix;
  const wording = single ? whole.replaceAll('Some', 'A').replaceAll('are all', 'is').replaceAll('are', 'is') : whole;
  const query = / for (.+) mentioned in the provided text\?/.exec(text)?.[1] ?? '';
  const context = insideOf(text, wording, { type_needle_v: kind, query });
  const needles = [...context.matchAll(NEEDLE)].map(([line, type, key, value]) => ({
    line,
    type,
    key: key ?? '',
    value: value ?? '',
  }));
  const asked = query.split(/, and |, /);
  expectSame('number of keys asked for', asked.length, queries);
  const values = asked.map((key) => needles.filter((needle) => needle.key === key).map(({ value }) => value));
  demand(
    values.every((found) => found.length === valuesPerKey),
    `${valuesPerKey} needle(s) for each of ${asked.join(', ')}`,
  );
  // Values of one key stand in a shuffled order in the text.
  expectSame('outputs', values.flat().sort(), [...outputs].sort());
  demand(
    needles.every(({ type }) => type === recipe.values),
    `needles of ${recipe.values}`,
  );
  const hidden = Math.max(keys, queries) * valuesPerKey;
  if (recipe.haystack === 'needle') return { lines: context.split('\n').length, needles: needles.length };
  expectSame('needles', needles.length, hidden);
  if (recipe.haystack === 'noise') {
    const lines = context.split('\n');
    expectSame('noise lines', lines.filter((line) => line === NOISE).length, lines.length - hidden);
    return { lines: lines.length };
  }
  return { words: splitWords(context.replace(NEEDLE, '')).length };
}

/** Follows the chain of a block and gives its names. */
function readChain(block: string, value: string): string[] {
  const lines = block.split('\n').filter((line) => line !== NOISE && line !== '');
  let holder = value;
  return lines.map((line) => {
    const [, name = '', source = ''] = /^VAR ([A-Z]+) = (?:VAR )?(\w+) ?$/.exec(line) ?? [];
    demand(source === holder, `a link to ${holder}, got ${JSON.stringify(line)}`);
    holder = name;
    return name;
  });
}

function checkTracking({ text, outputs }: RulerText): RulerSizes {
  const { template, answerPrefix } = BASE_FACTS.vt;
  const [example = '', asked = ''] = text.split(/(?<=\n\n)(?=Memorize and track)/);
  const read = (block: string, ending: string) => {
    const value = /assigned the value (\d{5}) in the text/.exec(block)?.[1] ?? '';
    const context = insideOf(block, template + answerPrefix + ending, { query: value, num_v: String(outputs.length) });
    return { names: readChain(context, value), lines: context.split('\n').length };
  };
  const answer = /they are: {2}((?:[A-Z]{3} ?)+)\n\n$/.exec(example)?.[1] ?? '';
  const worked = read(example, ` ${answer}\n\n`);
  const sample = read(asked, '');
  expectSame('names of the example', worked.names, answer.split(' '));
  expectSame('outputs', sample.names, [...outputs]);
  demand(unique(outputs) === 5 && outputs.every((name) => /^[A-Z]{5}$/.test(name)), 'five names of five capitals');
  return { exampleLines: worked.lines, lines: sample.lines };
}

function countNumbered(block: string): Map<string, number> {
  const counts = new Map<string, number>();
  const items = block.split(/(?:^| )\d+\. /).slice(1);
  for (const word of items) counts.set(word, (counts.get(word) ?? 0) + 1);
  return counts;
}

function checkCommonWords({ text, outputs }: RulerText): RulerSizes {
  const { template, answerPrefix } = BASE_FACTS.cwe;
  const [worked = '', asked = ''] = text.split(/(?<=\n)(?=Below is a numbered list)/);
  const answer = worked.slice(worked.lastIndexOf('in the list are: ') + 'in the list are: '.length, -1);
  const example = countNumbered(insideOf(worked, `${template}${answerPrefix} ${answer}\n`, {}));
  const sample = countNumbered(insideOf(asked, template + answerPrefix, {}));
  const check = (counts: Map<string, number>, common: readonly string[]) => {
    const [high = 0, low = 0] = [...new Set(counts.values())].sort((a, b) => b - a);
    demand(unique([...counts.values()]) === 2, 'two frequencies');
    expectSame(
      'most common words',
      [...counts]
        .filter(([, n]) => n === high)
        .map(([word]) => word)
        .sort(),
      [...common].sort(),
    );
    return { high, low, words: counts.size };
  };
  const shown = check(example, [...countNumbered(answer).keys()]);
  const { high, low } = check(sample, outputs);
  return { exampleWords: shown.words, exampleHigh: shown.high, exampleLow: shown.low, high, low };
}

function checkFrequentWords({ text, outputs }: RulerText): RulerSizes {
  const { template, answerPrefix } = BASE_FACTS.fwe;
  const counts = new Map<string, number>();
  for (const word of insideOf(text, template + answerPrefix, {}).split(' ')) counts.set(word, (counts.get(word) ?? 0) + 1);
  const ranked = [...counts].sort(([, a], [, b]) => b - a);
  expectSame('most frequent word', ranked[0]?.[0], '...');
  expectSame(
    'outputs',
    ranked.slice(1, 4).map(([word]) => word),
    [...outputs],
  );
  demand(
    ranked.slice(1).every(([word]) => /^[a-z]{6}$/.test(word)),
    'words of six letters',
  );
  return Object.fromEntries(ranked.map(([, n], rank) => [`rank ${rank + 1}`, n]));
}

/**
 * Checks a sample against its task's form: template, needles, chains, frequencies, answers.
 * @returns sizes that depend on the length only
 * @throws Mismatch
 */
export function checkRulerText(task: RulerTask, sample: RulerText): RulerSizes {
  switch (RULER_RECIPES[task].base) {
    case 'niah':
      return checkNiah(task, sample);
    case 'vt':
      return checkTracking(sample);
    case 'cwe':
      return checkCommonWords(sample);
    case 'fwe':
      return checkFrequentWords(sample);
    default:
      throw new Mismatch(`no form is known for ${task}`);
  }
}
