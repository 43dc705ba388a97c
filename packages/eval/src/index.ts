export type {
  JsonValue,
  Sample,
  SampleOptions,
  Score,
  ScoredSample,
  ScoreFailure,
  Suite,
  TaskSummary,
  TextTokenizer,
} from './suite.js';
export { chooseProfile, chooseTasks, groupByTask } from './suite-choice.js';
