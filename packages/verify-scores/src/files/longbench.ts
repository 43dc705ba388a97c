import {
  bucketScores,
  createLongBenchScorer,
  LONGBENCH_TASKS,
  type LongBenchExpected,
  type LongBenchProfile,
  type LongBenchScorer,
  type LongBenchTask,
  parseRow,
  TASK_FACTS,
  taskScore,
} from '@kvsift/eval-longbench';
import { guardScore, type JsonRow, type JsonValue, type Segmenter } from '@kvsift/eval-text';
import { type CaseFile, readJson, rowFile } from '../case-file.js';
import { expectClose, expectColumns, expectSame, scoreOrError } from '../compare.js';
import { Mismatch } from '../tally.js';

const PROFILES: Readonly<Record<string, LongBenchProfile>> = {
  score: 'reference',
  score_levenshtein: 'kvcache-factory',
  score_kvpress: 'kvpress',
  score_without_recursion_limit: 'reference-unlimited',
};
const COLUMNS = ['id', 'task', 'metric', 'prediction', 'answers', 'all_classes', 'note', ...Object.keys(PROFILES)];
/** The reference's function names. */
const METRIC_NAMES = {
  f1: 'qa_f1_score',
  'f1-zh': 'qa_f1_zh_score',
  rouge: 'rouge_score',
  'rouge-zh': 'rouge_zh_score',
  class: 'classification_score',
  count: 'count_score',
  retrieval: 'retrieval_score',
  'retrieval-zh': 'retrieval_zh_score',
  code: 'code_sim_score',
} as const;

/** @throws Mismatch for a task that LongBench lacks */
function taskOf(name: JsonValue | undefined): LongBenchTask {
  const task = LONGBENCH_TASKS.find((known) => known === name);
  if (task === undefined) throw new Mismatch(`unknown task ${JSON.stringify(name)}`);
  return task;
}

function expectedOf(answers: JsonValue | undefined, allClasses: JsonValue | undefined): LongBenchExpected {
  if (!Array.isArray(answers) || !answers.every((answer) => typeof answer === 'string'))
    throw new Mismatch('expected a list of texts as answers');
  return { answers: answers as string[], allClasses: (allClasses ?? null) as string[] | null };
}

function checkRow({ value }: JsonRow, scorer: LongBenchScorer): void {
  expectColumns(value, COLUMNS);
  const task = taskOf(value.task);
  if (typeof value.prediction !== 'string') throw new Mismatch('expected a text as prediction');
  if (!('score' in value)) throw new Mismatch('expected a column "score"');
  const prediction = value.prediction;
  const expected = expectedOf(value.answers, value.all_classes);
  expectSame('metric', METRIC_NAMES[TASK_FACTS[task].metric], value.metric);
  for (const [column, profile] of Object.entries(PROFILES)) {
    if (value[column] === undefined) continue;
    const actual = scoreOrError(guardScore(() => scorer({ task, prediction, expected, profile })));
    expectClose(`${column} (${task})`, actual, value[column]);
  }
}

interface Aggregate {
  readonly task: string;
  readonly predictions: readonly string[];
  readonly answers: readonly (readonly string[])[];
  readonly lengths: readonly number[];
  readonly all_classes: readonly string[] | null;
  readonly scorer: number;
  readonly scorer_e: Readonly<Record<string, number | null>>;
}

function checkAggregate(set: Aggregate, scorer: LongBenchScorer): void {
  expectColumns({ ...set }, ['task', 'predictions', 'answers', 'lengths', 'all_classes', 'scorer', 'scorer_e']);
  const task = taskOf(set.task);
  const score = (extended: boolean) =>
    set.predictions.map((prediction, i) => ({
      score: scorer({ task, prediction, expected: expectedOf(set.answers[i], set.all_classes), extended }),
      length: set.lengths[i] ?? Number.NaN,
    }));
  expectSame('scorer', taskScore(score(false).map((item) => item.score)), set.scorer);
  expectSame('scorer_e', bucketScores(score(true)), set.scorer_e);
}

/** Pieces of the templates joined. */
const templateOf = (task: LongBenchTask) => TASK_FACTS[task].template.join('');

/** A JSON object with one value per task, of which each is one case. */
const perTask = (pattern: RegExp, ours: (task: LongBenchTask) => JsonValue): CaseFile => ({
  pattern,
  async run(path, name, tally) {
    for (const [task, value] of Object.entries((await readJson(path)) as Record<string, JsonValue>)) {
      tally.run(`${name}:${task}`, () => expectSame(task, ours(taskOf(task)), value));
    }
  },
});

/** Scores, means, templates, lengths and sample rows of LongBench. */
export function longBenchFiles(segmenter: () => Segmenter): CaseFile[] {
  const scorer = createLongBenchScorer((text) => segmenter()(text));
  return [
    rowFile(/^longbench[^/]*-scores\.jsonl$/, (row) => checkRow(row, scorer)),
    {
      pattern: /^longbench-aggregates\.json$/,
      async run(path, name, tally) {
        ((await readJson(path)) as unknown as Aggregate[]).forEach((set, i) => {
          tally.run(`${name}:${i}`, () => checkAggregate(set, scorer));
        });
      },
    },
    perTask(/^longbench-prompts\.json$/, templateOf),
    perTask(/^longbench-maxlen\.json$/, (task) => TASK_FACTS[task].maxNewTokens),
    rowFile(/^longbench-samples\/[^/]+\.jsonl$/, (row) => void parseRow('longbench-samples', row)),
  ];
}
