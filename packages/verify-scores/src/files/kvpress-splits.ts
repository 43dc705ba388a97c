import { INFINITE_BENCH_TASKS, KVPRESS_TEMPLATES } from '@kvsift/eval-infinitebench';
import { LONGBENCH_TASKS, TASK_FACTS } from '@kvsift/eval-longbench';
import { type CaseFile, readJson } from '../case-file.js';
import { expectSame } from '../compare.js';
import { Mismatch } from '../tally.js';

type Pieces = readonly [context: string, question: string, answerPrefix: string];

/** kvpress moves the end of these tasks' rows ("Type:") into the answer prefix, and shows the input of lcc, which is always empty. */
const MOVED_PREFIX: ReadonlySet<string> = new Set(['trec', 'triviaqa', 'samsum']);

function longBench(name: string, [context, question, prefix]: Pieces): void {
  const task = LONGBENCH_TASKS.find((known) => known === name);
  if (task === undefined) throw new Mismatch(`unknown task ${JSON.stringify(name)}`);
  const theirs = [context, task === 'lcc' ? '' : question, MOVED_PREFIX.has(task) ? '' : prefix];
  expectSame(task, TASK_FACTS[task].template, theirs);
}

/** What the file calls the question stands behind the row's own, which is not written there. */
function infiniteBench(name: string, [context, question, prefix]: Pieces): void {
  const task = INFINITE_BENCH_TASKS.find((known) => known === name);
  if (task === undefined) throw new Mismatch(`unknown task ${JSON.stringify(name)}`);
  expectSame(task, KVPRESS_TEMPLATES[task], [context, `{input}${question}`, prefix]);
}

const suites: Readonly<Record<string, (name: string, pieces: Pieces) => void>> = {
  longbench: longBench,
  infinitebench: infiniteBench,
};

/** How kvpress cuts the prompts of LongBench, and its own templates for InfiniteBench. */
export const kvpressSplits: CaseFile = {
  pattern: /^kvpress-splits\.json$/,
  async run(path, name, tally) {
    const file = (await readJson(path)) as unknown as Record<string, Record<string, Record<string, string>>>;
    for (const [suite, splits] of Object.entries(file)) {
      const piece = (part: string, task: string) => splits[part]?.[task] ?? '';
      for (const task of Object.keys(splits.context_prefix ?? {})) {
        tally.run(`${name}:${suite}:${task}`, () => {
          const check = suites[suite];
          if (check === undefined) throw new Mismatch(`no check knows the suite "${suite}"`);
          check(task, [piece('context_prefix', task), piece('question_template', task), piece('answer_prefix', task)]);
        });
      }
    }
  },
};
