import { fillTemplate, type PromptParts } from '@kvsift/eval-text';
import { KVPRESS_TAKEN_OUT, KVPRESS_TEMPLATES } from './kvpress-templates.js';
import { CALL, type InfiniteBenchRow, TARGET } from './row.js';
import { type InfiniteBenchTask, TASK_FACTS } from './tasks.js';

/** Whose wording of the prompts: the reference's, or kvpress' own. */
export const INFINITE_BENCH_TEMPLATES = ['reference', 'kvpress'] as const;
/** Name of a set of prompt templates. */
export type InfiniteBenchTemplates = (typeof INFINITE_BENCH_TEMPLATES)[number];

/** What the places of the task's template stand for. The instructions of code_run rows are discarded, math_find names its extreme twice. */
function placesOf(task: InfiniteBenchTask, row: InfiniteBenchRow): Record<string, string> {
  const { context, input } = row;
  switch (task) {
    case 'code_run': {
      const call = CALL.exec(input)?.[0] ?? '';
      return { context, input, func: call.slice(0, call.indexOf('(')), func_call: call };
    }
    case 'math_find': {
      const target = TARGET.exec(input)?.[0].toLowerCase().slice(0, -3) ?? '';
      return { context, input, prefix: `What is ${target} in the following list?` };
    }
    case 'longbook_choice_eng':
    case 'code_debug': {
      const [a = '', b = '', c = '', d = ''] = row.options;
      return { context, input, question: input, OPTION_A: a, OPTION_B: b, OPTION_C: c, OPTION_D: d };
    }
    default:
      return { context, input, question: input };
  }
}

/** The prompt of a row, in the pieces of its template; joined it is the reference's text. */
export function buildPrompt(
  task: InfiniteBenchTask,
  row: InfiniteBenchRow,
  templates: InfiniteBenchTemplates = 'reference',
): PromptParts {
  const kvpress = templates === 'kvpress';
  const places = placesOf(task, row);
  const template = kvpress ? KVPRESS_TEMPLATES[task] : TASK_FACTS[task].template;
  const [filled, asked, answerPrefix] = template.map((piece) => fillTemplate(piece, places)) as [string, string, string];
  const taken = kvpress ? KVPRESS_TAKEN_OUT[task] : undefined;
  const without = (text: string) => (taken === undefined ? text : text.replaceAll(taken, ''));
  const [context, question] = task === 'math_find' ? [without(filled), asked] : [filled, without(asked)];
  return { context, question, ...(answerPrefix !== '' && { answerPrefix }) };
}
