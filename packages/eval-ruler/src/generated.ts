import { fillTemplate, splitAtContext, type TextTokenizer } from '@kvsift/eval-text';
import type { RandomStream } from './random.js';

/** A sample as a generator makes it, in the pieces of its prompt. */
export interface Generated {
  readonly context: string;
  readonly question: string;
  readonly answerPrefix: string;
  /** The reference answers. */
  readonly outputs: readonly string[];
}

/** What all generators are given. */
export interface GeneratorSetting {
  /** Tokens of a sample, including those to generate. */
  readonly length: number;
  readonly tokenizer: TextTokenizer;
  /** Wraps every prompt; `{task_template}` is the place of the task's own text. */
  readonly modelTemplate: string;
  /** `true`: the shuffles that the reference re-seeds for every sample are drawn anew (our repair). */
  readonly freshShuffles: boolean;
  readonly seed: number;
}

/** One task, ready to make samples: which stream a sample uses is decided by its number. */
export interface Generator {
  /** Samples that can be made; Infinity where they are random. */
  readonly available: number;
  /** Does what takes long before the first sample, a step at a time, so that timers and signals have their turns; `sample` does it without them where nobody has. */
  prepare?(): Promise<void>;
  /** Sample number `index` from 0 on, the same whenever it is asked for; `tokens` is the length of its prompt. @throws KvsiftError `invalid_argument` where even the smallest sample is longer than the length asked for */
  sample(index: number): Generated & { readonly tokens: number };
}

/** Draws for one sample: its own, and those that the reference repeats in every sample. */
export interface SampleRandom {
  readonly own: RandomStream;
  readonly repeated: RandomStream;
}

/** Fills a task's template inside a model's and cuts it after the context. */
export function assemble(
  template: string,
  answerPrefix: string,
  values: Readonly<Record<string, string>>,
  { modelTemplate }: Pick<GeneratorSetting, 'modelTemplate'>,
): Omit<Generated, 'outputs'> {
  const [before = '', after = ''] = modelTemplate.split('{task_template}');
  const [context, question] = splitAtContext(template);
  return {
    context: before + fillTemplate(context, values),
    question: fillTemplate(question, values) + after,
    answerPrefix: fillTemplate(answerPrefix, values),
  };
}

/** The whole text of a sample, answer prefix included. */
export const textOf = (sample: Omit<Generated, 'outputs'>): string => sample.context + sample.question + sample.answerPrefix;
