import {
  BASE_FACTS,
  cleanPrediction,
  MODEL_TEMPLATES,
  RULER_RECIPES,
  RULER_TASKS,
  type RulerTask,
  readWordLists,
  rulerTaskScore,
  scoreRuler,
  type TaskRecipe,
} from '@kvsift/eval-ruler';
import { type JsonRow, type JsonValue, readJsonLines, roundHalfEven, splitWords } from '@kvsift/eval-text';
import { type CaseFile, readJson, readRowsIfThere, rowFile } from '../case-file.js';
import { expectClose, expectColumns, expectSame } from '../compare.js';
import { Mismatch } from '../tally.js';
import { checkRulerText } from './ruler-structure.js';

const SCORE_COLUMNS = [
  'id',
  'task',
  'metric',
  'prediction',
  'outputs',
  'postprocessed',
  'score',
  'fraction',
  'score_kvpress',
  'note',
];
const SAMPLE_COLUMNS = ['index', 'input', 'outputs', 'length', 'length_w_model_temp', 'answer_prefix', 'token_position_answer'];

function taskOf(name: unknown): RulerTask {
  const task = RULER_TASKS.find((known) => known === name);
  if (task === undefined) throw new Mismatch(`unknown task ${JSON.stringify(name)}`);
  return task;
}

function textsOf(value: JsonValue | undefined, what: string): readonly string[] {
  if (!Array.isArray(value) || !value.every((item) => typeof item === 'string'))
    throw new Mismatch(`expected a list of texts as ${what}`);
  return value as string[];
}

function checkScore({ value }: JsonRow): void {
  expectColumns(value, SCORE_COLUMNS);
  const task = taskOf(value.task);
  if (typeof value.prediction !== 'string') throw new Mismatch('expected a text as prediction');
  if (!('score' in value)) throw new Mismatch('expected a column "score"');
  const outputs = textsOf(value.outputs, 'outputs');
  const fraction = scoreRuler(task, value.prediction, outputs, 'reference');
  const percent = (share: number) => roundHalfEven(100 * share, 2);
  expectSame('metric', RULER_RECIPES[task].base === 'qa' ? 'string_match_part' : 'string_match_all', value.metric);
  expectSame('postprocessed', cleanPrediction(value.prediction, 'reference'), value.postprocessed);
  expectClose('fraction', fraction, value.fraction);
  expectSame('score', percent(fraction), value.score);
  if (value.score_kvpress === undefined) return;
  expectSame('score_kvpress', percent(scoreRuler(task, value.prediction, outputs, 'kvpress')), value.score_kvpress);
}

function checkSample({ value }: JsonRow, task: RulerTask): void {
  expectColumns(value, SAMPLE_COLUMNS);
  // Older data has the answer prefix inside the input.
  const text = `${String(value.input)}${typeof value.answer_prefix === 'string' ? value.answer_prefix : ''}`;
  checkRulerText(task, { text, outputs: textsOf(value.outputs, 'outputs') });
  if (value.length_w_model_temp === undefined) return;
  const { tokensToGenerate } = BASE_FACTS[RULER_RECIPES[task].base];
  expectSame('length in words', splitWords(text).length + tokensToGenerate, value.length);
}

interface Aggregate {
  readonly task: string;
  readonly ids: readonly number[];
  readonly n: number;
  readonly score: number;
  readonly nulls: string;
}

/** Means over rows of `ruler-scores.jsonl`; a mean whose rows are not all there is skipped. */
const aggregates: CaseFile = {
  pattern: /^ruler-aggregates\.json$/,
  async run(path, name, tally) {
    const rows = new Map<JsonValue | undefined, JsonRow>();
    for (const row of await readRowsIfThere(path.replace(/aggregates\.json$/, 'scores.jsonl'))) rows.set(row.value.id, row);
    for (const set of (await readJson(path)) as unknown as Aggregate[]) {
      const found = set.ids.flatMap((id) => rows.get(id) ?? []);
      if (found.length < set.ids.length) {
        tally.skip(name, 'means over rows that the folder does not hold');
        continue;
      }
      tally.run(`${name}:${set.task}`, () => {
        expectColumns({ ...set }, ['task', 'ids', 'n', 'score', 'nulls']);
        const task = taskOf(set.task);
        const predictions = found.map(({ value }) => String(value.prediction));
        const scores = found.map(({ value }) =>
          scoreRuler(task, String(value.prediction), textsOf(value.outputs, 'outputs'), 'reference'),
        );
        const empty = predictions.filter((prediction) => cleanPrediction(prediction, 'reference') === '').length;
        expectSame('score', rulerTaskScore(scores), set.score);
        expectSame('nulls', `${empty}/${found.length}`, set.nulls);
      });
    }
  },
};

const BASES = {
  niah: 'niah',
  variable_tracking: 'vt',
  common_words_extraction: 'cwe',
  freq_words_extraction: 'fwe',
  qa: 'qa',
} as const;

/** A recipe with the reference's argument names. */
function argumentsOf(recipe: TaskRecipe): Record<string, JsonValue> {
  switch (recipe.base) {
    case 'niah': {
      const [num_needle_k, num_needle_v, num_needle_q] = recipe.counts;
      const kinds = { type_haystack: recipe.haystack, type_needle_k: recipe.keys, type_needle_v: recipe.values };
      return { ...kinds, num_needle_k, num_needle_v, num_needle_q };
    }
    case 'vt':
      return { type_haystack: 'noise', num_chains: 1, num_hops: recipe.hops };
    case 'cwe':
      return { freq_cw: recipe.commonTimes, freq_ucw: recipe.uncommonTimes, num_cw: recipe.common };
    case 'fwe':
      return { alpha: recipe.alpha };
    case 'qa':
      return { dataset: recipe.dataset };
  }
}

const prompts: CaseFile = {
  pattern: /^ruler-prompts\.json$/,
  async run(path, name, tally) {
    const file = (await readJson(path)) as Record<'base' | 'tasks' | 'model_templates', Record<string, JsonValue>>;
    for (const [base, facts] of Object.entries(file.base)) {
      const { tokensToGenerate, template, answerPrefix } = BASE_FACTS[BASES[base as keyof typeof BASES]] ?? {};
      tally.run(`${name}:${base}`, () =>
        expectSame(base, { tokens_to_generate: tokensToGenerate, template, answer_prefix: answerPrefix }, facts),
      );
    }
    for (const [task, facts] of Object.entries(file.tasks)) {
      tally.run(`${name}:${task}`, () => {
        const recipe: TaskRecipe = RULER_RECIPES[taskOf(task)];
        const base = Object.entries(BASES).find(([, short]) => short === recipe.base)?.[0];
        expectSame(task, { task: base, args: argumentsOf(recipe) }, facts);
      });
    }
    tally.run(`${name}:model_templates`, () => expectSame('model_templates', MODEL_TEMPLATES, file.model_templates));
  },
};

/** The word lists from which prompts are made. */
const words: CaseFile = {
  pattern: /^ruler-words\.json$/,
  async run(path, name, tally) {
    const {
      nouns,
      adjectives,
      verbs,
      source: _source,
      licence_note: _note,
      ...others
    } = (await readJson(path)) as Record<string, JsonValue>;
    tally.run(name, () => {
      expectColumns(others, []);
      const { nouns: n, adjectives: a, verbs: v } = readWordLists();
      expectSame('words', { nouns: n, adjectives: a, verbs: v }, { nouns, adjectives, verbs } as JsonValue);
    });
  },
};

/** Scores, means, templates and sample rows of RULER. */
export const rulerFiles: readonly CaseFile[] = [
  rowFile(/^ruler[^/]*-scores\.jsonl$/, checkScore),
  aggregates,
  prompts,
  words,
  {
    pattern: /^ruler-samples\/[^/]+\.jsonl$/,
    async run(path, name, tally) {
      const task = /-([a-z0-9_]+)\.jsonl$/.exec(name)?.[1];
      for await (const row of readJsonLines(path)) tally.run(`${name}:${row.line}`, () => checkSample(row, taskOf(task)));
    },
  },
];
