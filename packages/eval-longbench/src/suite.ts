import { join } from 'node:path';
import {
  chooseProfile,
  chooseTasks,
  groupByTask,
  type Sample,
  type SampleOptions,
  type Suite,
  type TaskSummary,
} from '@kvsift/eval';
import { fillTemplate, guardScore, type PromptParts, requireFiles, type Segmenter, truncateMiddle } from '@kvsift/eval-text';
import { KvsiftError } from '@kvsift/tensor';
import { LONGBENCH_PROFILES } from './profiles.js';
import { type LongBenchRow, readRows } from './row.js';
import { bucketScores, createLongBenchScorer, type LongBenchExpected, taskScore } from './score.js';
import { LONGBENCH_E_TASKS, LONGBENCH_TASKS, type LongBenchTask, PLAIN_TASKS, TASK_FACTS } from './tasks.js';

/** Settings of {@link longBench} and {@link longBenchE}. */
export interface LongBenchOptions {
  /** Folder with `TASK.jsonl` files (`TASK_e.jsonl` in LongBench-E); only those of the tasks that run are needed. */
  readonly folder: string;
  /** Whether the model's tokenizer begins texts with a begin-of-text id, which counts in truncation. Default true (ChatGLM3: false). */
  readonly bos?: boolean;
  /** Cuts Chinese text. Default: jieba. */
  readonly segmenter?: Segmenter;
}

/** The prompt of a row in the pieces of its template; joined it is the reference's text. */
export function buildPrompt(task: LongBenchTask, row: Pick<LongBenchRow, 'context' | 'input'>): PromptParts {
  const places = { context: row.context, input: row.input };
  const [context, question, answerPrefix] = TASK_FACTS[task].template.map((piece) => fillTemplate(piece, places)) as [
    string,
    string,
    string,
  ];
  return { context, question, ...(answerPrefix !== '' && { answerPrefix }) };
}

function suiteOf(name: string, tasks: readonly LongBenchTask[], extended: boolean, options: LongBenchOptions): Suite {
  const { folder, bos = true, segmenter } = options;
  const scorer = createLongBenchScorer(segmenter);

  const fileOf = (task: LongBenchTask) => join(folder, `${task}${extended ? '_e' : ''}.jsonl`);

  async function* samplesOf(task: LongBenchTask, wanted: SampleOptions): AsyncGenerator<Sample> {
    const { limit = Infinity, tokenizer, maxTokens, onMalformed } = wanted;
    let count = 0;
    for await (const row of readRows(fileOf(task), onMalformed)) {
      if (count++ >= limit) return;
      const parts = buildPrompt(task, row);
      yield {
        id: row.id,
        task,
        ...(tokenizer !== undefined && maxTokens !== undefined
          ? truncateMiddle(parts, tokenizer, { maxTokens, bos, decode: 'apart' })
          : parts),
        maxNewTokens: TASK_FACTS[task].maxNewTokens,
        ...(task === 'samsum' && { minNewTokens: 1 }),
        stop: task === 'samsum' ? ['\n'] : [],
        chat: PLAIN_TASKS.has(task) ? 'never' : 'allowed',
        expected: row.expected,
        meta: { length: row.length },
      };
    }
  }

  return {
    name,
    tasks,
    profiles: LONGBENCH_PROFILES,
    async *samples(wanted = {}) {
      if (wanted.maxTokens !== undefined && wanted.tokenizer === undefined) {
        throw new KvsiftError('config_invalid', `expected a tokenizer beside maxTokens for ${name}, got none`);
      }
      const chosen = chooseTasks(name, tasks, wanted.tasks);
      await requireFiles(chosen.map(fileOf));
      for (const task of chosen) yield* samplesOf(task, wanted);
    },
    score(sample, prediction, wanted) {
      const profile = chooseProfile(name, LONGBENCH_PROFILES, wanted);
      const [task] = chooseTasks(name, tasks, [sample.task]) as [LongBenchTask];
      return guardScore(() => scorer({ task, prediction, expected: sample.expected as LongBenchExpected, profile, extended }));
    },
    aggregate: (results) =>
      [...groupByTask(results)].map(([task, group]): TaskSummary => {
        const scored = group.flatMap(({ score, meta }) =>
          typeof score === 'number' ? [{ score, length: Number(meta?.length) }] : [],
        );
        const failures = group.length - scored.length;
        // The reference stops at the first failure and prints nothing then.
        const metrics =
          failures > 0
            ? { score: null }
            : extended
              ? bucketScores(scored)
              : { score: taskScore(scored.map(({ score }) => score)) };
        return { task, metrics: { ...metrics, n: group.length, ...(failures > 0 && { failures }) } };
      }),
  };
}

/**
 * LongBench (Bai et al., ACL 2024): 21 tasks, scores 0 … 100 with two decimals in summaries. `samples` needs `tokenizer` where `maxTokens`
 * is given (3,500 for 4K models, 7,500, 15,500, 31,500: 500 below the window): first and last half of the ids stay.
 */
export const longBench = (options: LongBenchOptions): Suite => suiteOf('longbench', LONGBENCH_TASKS, false, options);

/** LongBench-E: 13 of the tasks with evenly spread lengths, one score per length bucket. Settings as {@link longBench}. */
export const longBenchE = (options: LongBenchOptions): Suite => suiteOf('longbench-e', LONGBENCH_E_TASKS, true, options);
