import {
  encodeLabel,
  INFINITE_BENCH_TASKS,
  type InfiniteBenchTask,
  NACL_TASKS,
  scoreInfiniteBench,
  TASK_FACTS,
} from '@kvsift/eval-infinitebench';
import { type FloatAwareJson, type JsonRow, type JsonValue, parseWithFloats } from '@kvsift/eval-text';
import { type CaseFile, readJson, readRowsIfThere } from '../case-file.js';
import { expectClose, expectColumns, expectSame } from '../compare.js';
import { Mismatch } from '../tally.js';

function taskOf(name: JsonValue | undefined): InfiniteBenchTask {
  const task = INFINITE_BENCH_TASKS.find((known) => known === name);
  if (task === undefined) throw new Mismatch(`unknown task ${JSON.stringify(name)}`);
  return task;
}

/** What each part of the prompts file says of a task. */
const FACTS: Readonly<Record<string, (task: InfiniteBenchTask) => JsonValue>> = {
  templates: (task) => TASK_FACTS[task].template.join(''),
  files: (task) => `${task}.jsonl`,
  max_new_tokens: (task) => TASK_FACTS[task].maxNewTokens,
  // NACL lists 229 for the summaries, whose file has 103 rows.
  samples_as_listed_by_nacl: (task) => (task === 'longbook_sum_eng' ? 229 : TASK_FACTS[task].rows),
};

/** Templates, file names and limits. */
export const infiniteBenchPrompts: CaseFile = {
  pattern: /^infinitebench-prompts\.json$/,
  async run(path, name, tally) {
    for (const [part, value] of Object.entries((await readJson(path)) as Record<string, JsonValue>)) {
      if (part === 'source') continue;
      if (part === 'tasks_run_by_nacl') {
        tally.run(`${name}:${part}`, () => expectSame(part, [...NACL_TASKS].sort(), [...(value as string[])].sort()));
        continue;
      }
      for (const [task, expected] of Object.entries(value as Record<string, JsonValue>)) {
        tally.run(`${name}:${part}:${task}`, () => {
          const fact = FACTS[part];
          if (fact === undefined) throw new Mismatch(`no check knows the part "${part}"`);
          expectSame(part, fact(taskOf(task)), expected);
        });
      }
    }
  },
};

interface Mean {
  readonly task: string;
  readonly model: string;
  readonly n: number;
  readonly mean: number;
}

function scoreOf({ value, text }: JsonRow, task: InfiniteBenchTask): number {
  const truth =
    task === 'math_find' ? (parseWithFloats(text) as { ground_truth: FloatAwareJson }).ground_truth : value.ground_truth;
  const context = { profile: 'reference', model: String(value.model) } as const;
  return scoreInfiniteBench(task, String(value.prediction), encodeLabel((truth ?? null) as FloatAwareJson), context);
}

/** Means over the complete published files; skipped where `infinitebench-scores.jsonl` holds only part of the rows, or cut ones. */
export const infiniteBenchAggregates: CaseFile = {
  pattern: /^infinitebench-aggregates\.json$/,
  async run(path, name, tally) {
    const groups = new Map<string, JsonRow[]>();
    const keyOf = (task: unknown, model: unknown) => `${String(task)} ${String(model)}`;
    for (const row of await readRowsIfThere(path.replace(/aggregates\.json$/, 'scores.jsonl'))) {
      const key = keyOf(row.value.task, row.value.model);
      const group = groups.get(key);
      if (group === undefined) groups.set(key, [row]);
      else group.push(row);
    }
    for (const set of (await readJson(path)) as unknown as Mean[]) {
      const rows = groups.get(keyOf(set.task, set.model)) ?? [];
      if (rows.length !== set.n || rows.some(({ value }) => value.trimmed === true)) {
        tally.skip(name, 'means over rows that the folder does not hold, or holds cut');
        continue;
      }
      tally.run(`${name}:${keyOf(set.task, set.model)}`, () => {
        expectColumns({ ...set }, ['task', 'model', 'n', 'mean', 'published_percent']);
        const task = taskOf(set.task);
        expectClose('mean', rows.reduce((sum, row) => sum + scoreOf(row, task), 0) / rows.length, set.mean);
      });
    }
  },
};
