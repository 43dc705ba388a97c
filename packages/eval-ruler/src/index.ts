export type { Generated, Generator, GeneratorSetting } from './generated.js';
export { createGenerator, type RulerSources } from './generators.js';
export { cleanPrediction, RULER_PROFILES, type RulerProfile, rulerTaskScore, scoreRuler } from './score.js';
export { type RulerOptions, ruler } from './suite.js';
export {
  BASE_FACTS,
  type BaseFacts,
  MODEL_TEMPLATES,
  RULER_RECIPES,
  RULER_TASKS,
  type RulerTask,
  type TaskRecipe,
} from './task-facts.js';
export { readWordLists, type WordLists } from './words.js';
