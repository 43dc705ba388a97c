import {
  encodeLabel,
  INFINITE_BENCH_TASKS,
  type InfiniteBenchProfile,
  type InfiniteBenchTask,
  scoreInfiniteBench,
} from '@kvsift/eval-infinitebench';
import { type FloatAwareJson, guardScore, type JsonRow, parseWithFloats } from '@kvsift/eval-text';
import { rowFile } from '../case-file.js';
import { expectClose, expectColumns, scoreOrError } from '../compare.js';
import { Mismatch } from '../tally.js';

const PROFILES: Readonly<Record<string, InfiniteBenchProfile>> = {
  score: 'reference',
  score_nacl: 'nacl',
  score_kvpress: 'kvpress',
};
const COLUMNS = ['task', 'model', 'id', 'line', 'prediction', 'ground_truth', 'trimmed', 'note', ...Object.keys(PROFILES)];

function checkRow({ value, text }: JsonRow): void {
  expectColumns(value, COLUMNS);
  const task = INFINITE_BENCH_TASKS.find((name) => name === value.task) as InfiniteBenchTask | undefined;
  if (task === undefined) throw new Mismatch(`unknown task ${JSON.stringify(value.task)}`);
  if (typeof value.prediction !== 'string') throw new Mismatch('expected a text as prediction');
  if (!('score' in value)) throw new Mismatch('expected a column "score"');
  const prediction = value.prediction;
  // Only there does it matter whether a number was written as 84 or 84.0.
  const truth =
    task === 'math_find' ? (parseWithFloats(text) as { ground_truth: FloatAwareJson }).ground_truth : value.ground_truth;
  const label = encodeLabel((truth ?? null) as FloatAwareJson);
  const model = typeof value.model === 'string' ? { model: value.model } : {};
  for (const [column, profile] of Object.entries(PROFILES)) {
    const expected = value[column];
    if (expected === undefined) continue;
    const actual = scoreOrError(guardScore(() => scoreInfiniteBench(task, prediction, label, { profile, ...model })));
    expectClose(`${column} (${task})`, actual, expected);
  }
}

/** Real predictions of seven models, and constructed edge cases. */
export const infiniteBenchScores = rowFile(/^infinitebench[^/]*-scores\.jsonl$/, checkRow);
