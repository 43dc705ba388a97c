import { chooseProfile, chooseTasks, groupByTask, type Suite } from '@kvsift/eval';
import { guardScore } from '@kvsift/eval-text';
import { KvsiftError } from '@kvsift/tensor';
import type { GeneratorSetting } from './generated.js';
import { createGenerator, type RulerSources } from './generators.js';
import { cleanPrediction, RULER_PROFILES, rulerTaskScore, scoreRuler } from './score.js';
import { BASE_FACTS, RULER_RECIPES, RULER_TASKS, type RulerTask } from './task-facts.js';

/** Samples per task in the reference. */
const SAMPLES = 500;

/** Settings of {@link ruler}. */
export interface RulerOptions extends RulerSources {
  /** Tokens of every prompt including those to generate: 4,096 … 131,072 in the paper, any from a few hundred on here. */
  readonly length: number;
  /** Text around each prompt, with `{task_template}` in it; see `MODEL_TEMPLATES`. Default: none, the run's chat template applies instead. */
  readonly modelTemplate?: string;
  /**
   * The reference re-seeds some shuffles, so that needles, common and coded words stand in the same order in all samples. `true` draws them
   * anew. Default false.
   */
  readonly freshShuffles?: boolean;
}

/**
 * RULER (Hsieh et al., COLM 2024) at one length; make one suite per length. Samples are generated with our own random numbers, so they have
 * the reference's form but not its words. `samples` needs a tokenizer, since prompts are as long as fits; it takes 500 per task unless limited.
 */
export function ruler({ length, modelTemplate, freshShuffles = false, ...sources }: RulerOptions): Suite {
  const name = `ruler-${length}`;
  return {
    name,
    tasks: RULER_TASKS,
    profiles: RULER_PROFILES,
    async *samples({ tasks, limit = SAMPLES, seed = 42, tokenizer } = {}) {
      if (tokenizer === undefined)
        throw new KvsiftError('config_invalid', `expected the model's tokenizer for ${name}, got none`);
      const setting: GeneratorSetting = {
        length,
        tokenizer,
        modelTemplate: modelTemplate ?? '{task_template}',
        freshShuffles,
        seed,
      };
      // All generators first, so that a missing file shows before any prompt is made.
      const generators = [];
      for (const task of chooseTasks(name, RULER_TASKS, tasks))
        generators.push([task, await createGenerator(task, setting, sources)] as const);
      for (const [task, generator] of generators) {
        await generator.prepare?.();
        for (let index = 0; index < Math.min(limit, generator.available); index++) {
          const { context, question, answerPrefix, outputs, tokens } = generator.sample(index);
          yield {
            id: String(index),
            task,
            context,
            question,
            answerPrefix,
            maxNewTokens: BASE_FACTS[RULER_RECIPES[task].base].tokensToGenerate,
            stop: [],
            chat: modelTemplate === undefined ? 'allowed' : 'never',
            expected: outputs,
            meta: { length, tokens },
          };
        }
      }
    },
    score(sample, prediction, wanted) {
      const profile = chooseProfile(name, RULER_PROFILES, wanted);
      const [task] = chooseTasks(name, RULER_TASKS, [sample.task]) as [RulerTask];
      return guardScore(() => scoreRuler(task, prediction, sample.expected as readonly string[], profile));
    },
    aggregate: (results, wanted) =>
      [...groupByTask(results)].map(([task, group]) => {
        const profile = chooseProfile(name, RULER_PROFILES, wanted);
        const empty = group.filter(({ prediction }) => cleanPrediction(prediction, profile) === '').length;
        const score = rulerTaskScore(group.flatMap((item) => (typeof item.score === 'number' ? [item.score] : [])));
        return { task, metrics: { score, empty, n: group.length } };
      }),
  };
}
