import { join } from 'node:path';
import { chooseProfile, chooseTasks, groupByTask, type Sample, type SampleOptions, type Suite } from '@kvsift/eval';
import { guardScore, type HalfRounding, requireFiles, truncateMiddle } from '@kvsift/eval-text';
import { KvsiftError } from '@kvsift/tensor';
import { KVPRESS_MORE_TOKENS } from './kvpress-templates.js';
import { INFINITE_BENCH_PROFILES } from './profiles.js';
import { buildPrompt, type InfiniteBenchTemplates } from './prompt.js';
import { readRows } from './row.js';
import { scoreInfiniteBench } from './score.js';
import { INFINITE_BENCH_TASKS, type InfiniteBenchTask, TASK_FACTS } from './tasks.js';

const NAME = 'infinitebench';

/** Settings of {@link infiniteBench}. */
export interface InfiniteBenchOptions {
  /** Folder with `TASK.jsonl` files; only those of the tasks that run are needed. */
  readonly folder: string;
  /** NACL brings prompts to Unicode NFC before it tokenises them. Default false. */
  readonly normalize?: boolean;
  /** How an odd `maxTokens` is halved; `ceil` is what the reference does for GPT-4. Default `floor`. */
  readonly rounding?: HalfRounding;
  /** Whose wording of the prompts; kvpress wraps it in the model's chat template and lets each task write 20 tokens more. Default `reference`. */
  readonly templates?: InfiniteBenchTemplates;
}

const fileOf = ({ folder }: InfiniteBenchOptions, task: InfiniteBenchTask) => join(folder, `${task}.jsonl`);

async function* samplesOf(task: InfiniteBenchTask, options: InfiniteBenchOptions, wanted: SampleOptions): AsyncGenerator<Sample> {
  const { maxTokens, tokenizer, limit = Infinity, onMalformed } = wanted;
  const { rounding = 'floor', normalize = false, templates = 'reference' } = options;
  const kvpress = templates === 'kvpress';
  const form = (text: string) => (normalize ? text.normalize('NFC') : text);
  for await (const row of readRows(fileOf(options, task), task, onMalformed)) {
    if (row.position >= limit) return;
    const { context, question, answerPrefix } = buildPrompt(task, row, templates);
    const parts = {
      context: form(context),
      question: form(question),
      ...(answerPrefix !== undefined && { answerPrefix: form(answerPrefix) }),
    };
    yield {
      id: String(row.position),
      task,
      ...(tokenizer !== undefined && maxTokens !== undefined ? truncateMiddle(parts, tokenizer, { maxTokens, rounding }) : parts),
      maxNewTokens: TASK_FACTS[task].maxNewTokens + (kvpress ? KVPRESS_MORE_TOKENS : 0),
      stop: [],
      chat: kvpress ? 'allowed' : 'never',
      expected: row.label,
    };
  }
}

/**
 * InfiniteBench (Zhang et al., "∞Bench: Extending Long Context Evaluation Beyond 100K Tokens", ACL 2024).
 * `samples` needs `tokenizer` where `maxTokens` is given (NACL: 130,048; others 131,072): first and last half of the ids stay.
 */
export function infiniteBench(options: InfiniteBenchOptions): Suite {
  return {
    name: NAME,
    tasks: INFINITE_BENCH_TASKS,
    profiles: INFINITE_BENCH_PROFILES,
    async *samples(wanted = {}) {
      if (wanted.maxTokens !== undefined && wanted.tokenizer === undefined) {
        throw new KvsiftError('config_invalid', `expected a tokenizer beside maxTokens for ${NAME}, got none`);
      }
      const tasks = chooseTasks(NAME, INFINITE_BENCH_TASKS, wanted.tasks);
      await requireFiles(tasks.map((task) => fileOf(options, task)));
      for (const task of tasks) yield* samplesOf(task, options, wanted);
    },
    score({ task, expected }, prediction, wanted) {
      const profile = chooseProfile(NAME, INFINITE_BENCH_PROFILES, wanted);
      const [known] = chooseTasks(NAME, INFINITE_BENCH_TASKS, [task]) as [InfiniteBenchTask];
      return guardScore(() => scoreInfiniteBench(known, prediction, expected, { profile }));
    },
    aggregate: (results) =>
      [...groupByTask(results)].map(([task, group]) => {
        const values = group.map(({ score }) => score).filter((score) => typeof score === 'number');
        const failures = group.length - values.length;
        // The reference stops at the first failure and has no mean then.
        const mean = failures > 0 ? null : values.reduce((sum, value) => sum + value, 0) / values.length;
        return { task, metrics: { mean, n: group.length, ...(failures > 0 && { failures }) } };
      }),
  };
}
