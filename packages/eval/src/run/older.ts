import { keyOf, questionOf, type Result } from '../store/result.js';
import type { Cell } from './cells.js';
import type { SuitePlan } from './plan.js';
import { buildPrompt, shownPrompt } from './prompt.js';
import { keyFor, type SampleContext } from './sample.js';
import type { Turns } from './turns.js';

/**
 * What need not run because older manifests have it, as keys under the present ones: results for the very prompt and expected answer. Samples of one name may differ from
 * seed to seed and from one state of the data to the next. @throws KvsiftError `aborted`
 */
export async function settledBefore(
  jobs: readonly { readonly plan: SuitePlan; readonly context: SampleContext }[],
  cells: readonly Cell[],
  results: readonly Result[],
  older: ReadonlySet<string>,
  turns: Turns,
): Promise<ReadonlySet<string>> {
  const settled = new Set<string>();
  const known = results.filter(({ manifest }) => older.has(manifest));
  for (const { plan, context } of jobs) {
    const own = known.filter(({ model, suite }) => model === context.model && suite === context.suite.name);
    if (own.length === 0) continue;
    const answered = new Set(own.map((result) => keyOf({ ...result, manifest: questionOf(result) })));
    for (const task of plan.tasks.keys()) {
      for await (const sample of plan.samples(task)) {
        await turns.passOrStop();
        const prompt = shownPrompt(buildPrompt(sample, context.mode, context.chat));
        const question = questionOf({ expected: sample.expected, prompt });
        for (const cell of cells) {
          const key = keyFor(context, cell, sample);
          if (answered.has(keyOf({ ...key, manifest: question }))) settled.add(keyOf(key));
        }
      }
    }
  }
  return settled;
}
