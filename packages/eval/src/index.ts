export { ownBudget } from '@kvsift/policy';
export type {
  AnswerRequest,
  CacheSetting,
  EngineAnswer,
  EngineFacts,
  EvalEngine,
  Question,
  Retention,
  SharedAnswer,
} from './engine/contract.js';
export { type LanguageModelOptions, openLanguageModel } from './engine/language-model.js';
export { type Cell, expandCells } from './run/cells.js';
export type { RunSeconds } from './run/clock.js';
export {
  type ModelSetting,
  parseRunConfig,
  type RunConfig,
  readRunConfig,
  runConfigSchema,
  type SuiteSetting,
} from './run/config.js';
export { currentCommit } from './run/environment.js';
export type { RunEvent, RunOutcome } from './run/events.js';
export { differences, hashManifest, type Manifest, manifestDifferences } from './run/manifest.js';
export type { TaskFailure } from './run/plan.js';
export { type RunEnvironment, runEvaluation } from './run/run.js';
export { sampleErrors } from './run/sample.js';
export { createResampler, type Estimate, estimateMean, type Resampler } from './statistics/bootstrap.js';
export { type SuiteRow, suiteRows } from './statistics/suite-rows.js';
export { type SummaryRow, summarize } from './statistics/summary.js';
export { takeLock } from './store/lock.js';
export { keyOf, type Result, type ResultKey, resultSchema } from './store/result.js';
export { ResultStore, readResults, type StoredResults } from './store/results.js';
export { type RunFolder, readRun, runFolder, type StoredRetention, type StoredRun } from './store/run-folder.js';
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
