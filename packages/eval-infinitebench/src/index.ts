export { KVPRESS_TEMPLATES } from './kvpress-templates.js';
export { encodeLabel, type Label } from './label.js';
export { INFINITE_BENCH_PROFILES, type InfiniteBenchProfile, type ScoreContext } from './profiles.js';
export { buildPrompt, INFINITE_BENCH_TEMPLATES, type InfiniteBenchTemplates } from './prompt.js';
export { type InfiniteBenchRow, parseRow, readRows } from './row.js';
export { scoreInfiniteBench } from './score.js';
export { type InfiniteBenchOptions, infiniteBench } from './suite.js';
export { INFINITE_BENCH_TASKS, type InfiniteBenchTask, NACL_TASKS, TASK_FACTS, type TaskFacts } from './tasks.js';
