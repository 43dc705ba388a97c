export { LONGBENCH_PROFILES, LONGBENCH_RULES, type LongBenchProfile, type ScoringRules } from './profiles.js';
export { type LongBenchRow, parseRow, readRows } from './row.js';
export {
  bucketOf,
  bucketScores,
  createLongBenchScorer,
  LENGTH_BUCKETS,
  type LengthBucket,
  type LongBenchCase,
  type LongBenchExpected,
  type LongBenchScorer,
  taskScore,
} from './score.js';
export { buildPrompt, type LongBenchOptions, longBench, longBenchE } from './suite.js';
export {
  LONGBENCH_E_TASKS,
  LONGBENCH_TASKS,
  type LongBenchMetric,
  type LongBenchTask,
  TASK_FACTS,
  type TaskFacts,
} from './tasks.js';
