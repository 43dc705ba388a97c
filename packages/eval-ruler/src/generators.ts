import { KvsiftError } from '@kvsift/tensor';
import type { Generator, GeneratorSetting } from './generated.js';
import { readEssayWords } from './haystack.js';
import { type QaData, readHotpot, readSquad } from './qa-data.js';
import { SampleSizer, type SizedGenerator } from './size-search.js';
import { BASE_FACTS, RULER_RECIPES, type RulerTask, type TaskRecipe } from './task-facts.js';
import { commonWordsGenerator } from './tasks/common-words.js';
import { frequentWordsGenerator } from './tasks/frequent-words.js';
import { niahGenerator } from './tasks/niah.js';
import { questionGenerator } from './tasks/question-answering.js';
import { trackingGenerator } from './tasks/variable-tracking.js';
import { readWordLists } from './words.js';

/** Files that some tasks draw from. */
export interface RulerSources {
  /** Folder of essays (`*.txt`) for the haystacks of five tasks. */
  readonly essays?: string;
  /** `dev-v2.0.json` of SQuAD 2.0, for qa_1. */
  readonly squad?: string;
  /** `hotpot_dev_distractor_v1.json` of HotpotQA, for qa_2. */
  readonly hotpot?: string;
}

function required(task: RulerTask, sources: RulerSources, name: keyof RulerSources): string {
  const path = sources[name];
  if (path !== undefined) return path;
  throw new KvsiftError(
    'config_invalid',
    `expected a path "${name}" for RULER's ${task}, got none; give it or leave the task out`,
    { task, name },
  );
}

async function readQuestions(task: RulerTask, dataset: 'squad' | 'hotpotqa', sources: RulerSources): Promise<QaData> {
  return dataset === 'squad' ? readSquad(required(task, sources, 'squad')) : readHotpot(required(task, sources, 'hotpot'));
}

async function sizedGenerator(
  task: RulerTask,
  recipe: Exclude<TaskRecipe, { base: 'fwe' | 'qa' }>,
  setting: GeneratorSetting,
  sources: RulerSources,
): Promise<SizedGenerator> {
  switch (recipe.base) {
    case 'niah': {
      const essay = recipe.haystack === 'essay' ? await readEssayWords(required(task, sources, 'essays')) : [];
      return niahGenerator(recipe, setting, readWordLists(), essay);
    }
    case 'vt':
      return trackingGenerator(recipe, setting);
    case 'cwe':
      return commonWordsGenerator(recipe, setting, readWordLists());
  }
}

/**
 * Makes the generator of a task, reading what it draws from.
 * @throws KvsiftError `config_invalid` where a source is not given, `file_not_found`, `data_malformed`
 */
export async function createGenerator(task: RulerTask, setting: GeneratorSetting, sources: RulerSources): Promise<Generator> {
  const recipe: TaskRecipe = RULER_RECIPES[task];
  const { tokensToGenerate } = BASE_FACTS[recipe.base];
  if (recipe.base === 'fwe') return frequentWordsGenerator(recipe, setting);
  if (recipe.base !== 'qa') {
    const sizer = new SampleSizer(await sizedGenerator(task, recipe, setting, sources), setting, tokensToGenerate);
    return { available: Infinity, prepare: () => sizer.prepare(), sample: (index) => sizer.sample(index) };
  }
  const data = await readQuestions(task, recipe.dataset, sources);
  const sizer = new SampleSizer(questionGenerator(data, setting), setting, tokensToGenerate);
  return { available: data.questions.length, prepare: () => sizer.prepare(), sample: (index) => sizer.sample(index) };
}
