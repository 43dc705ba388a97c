import type { Label } from './label.js';
import type { ScoreContext, TaskScorer } from './profiles.js';
import { scoreBookChoice, scoreCodeDebug } from './scorers/choice.js';
import { scoreCodeRun, scoreMathCalc, scoreMathFind } from './scorers/numbers.js';
import { scoreDialogue, scoreFirstInteger, scoreKeyValue } from './scorers/retrieval.js';
import { scoreChineseAnswer, scoreEnglishAnswer, scoreSummary } from './scorers/texts.js';
import type { InfiniteBenchTask } from './tasks.js';

const SCORERS: Readonly<Record<InfiniteBenchTask, TaskScorer>> = {
  passkey: scoreFirstInteger,
  number_string: scoreFirstInteger,
  kv_retrieval: scoreKeyValue,
  longbook_sum_eng: scoreSummary,
  longbook_choice_eng: scoreBookChoice,
  longbook_qa_eng: scoreEnglishAnswer,
  longbook_qa_chn: scoreChineseAnswer,
  longdialogue_qa_eng: scoreDialogue,
  math_find: scoreMathFind,
  math_calc: scoreMathCalc,
  code_run: scoreCodeRun,
  code_debug: scoreCodeDebug,
};

/**
 * Score of one prediction, 0 … 1.
 * @throws KvsiftError `score_error` where the profile's reference raises; `details.kind` names the Python exception
 */
export function scoreInfiniteBench(task: InfiniteBenchTask, prediction: string, label: Label, context: ScoreContext): number {
  return SCORERS[task](prediction, label, context);
}
