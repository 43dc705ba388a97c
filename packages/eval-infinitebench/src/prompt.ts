import { fillTemplate, type PromptParts } from '@kvsift/eval-text';
import { CALL, type InfiniteBenchRow, TARGET } from './row.js';
import { type InfiniteBenchTask, TASK_FACTS } from './tasks.js';

/** What the places of the task's template stand for. The instructions of code_run rows are discarded, math_find names its extreme twice. */
function placesOf(task: InfiniteBenchTask, row: InfiniteBenchRow): Record<string, string> {
  const { context, input } = row;
  switch (task) {
    case 'code_run': {
      const call = CALL.exec(input)?.[0] ?? '';
      return { context, func: call.slice(0, call.indexOf('(')), func_call: call };
    }
    case 'math_find': {
      const target = TARGET.exec(input)?.[0].toLowerCase().slice(0, -3) ?? '';
      return { context, input, prefix: `What is ${target} in the following list?` };
    }
    case 'longbook_choice_eng':
    case 'code_debug': {
      const [a = '', b = '', c = '', d = ''] = row.options;
      return { context, question: input, OPTION_A: a, OPTION_B: b, OPTION_C: c, OPTION_D: d };
    }
    default:
      return { context, input, question: input };
  }
}

/** The prompt of a row, in the pieces of its template; joined it is the reference's text. */
export function buildPrompt(task: InfiniteBenchTask, row: InfiniteBenchRow): PromptParts {
  const places = placesOf(task, row);
  const [context, question, answerPrefix] = TASK_FACTS[task].template.map((piece) => fillTemplate(piece, places)) as [
    string,
    string,
    string,
  ];
  return { context, question, ...(answerPrefix !== '' && { answerPrefix }) };
}
