import { isKvsiftError, KvsiftError } from '@kvsift/tensor';
import type { EngineAnswer, EvalEngine, Retention } from '../engine/contract.js';
import type { Result, ResultKey } from '../store/result.js';
import type { Sample, Suite } from '../suite.js';
import type { Cell } from './cells.js';
import type { RunConfig } from './config.js';
import type { Manifest } from './manifest.js';
import type { PromptedSample } from './prompt.js';

/** What all samples of one model and suite share. */
export interface SampleContext {
  readonly model: string;
  readonly manifest: Manifest;
  readonly manifestHash: string;
  readonly suite: Suite;
  readonly profile: string;
  readonly mode: RunConfig['question'];
  readonly chat: ((content: string) => string) | undefined;
  readonly seed: number;
  readonly onError: RunConfig['onError'];
  readonly saveRetention: (key: ResultKey, retention: Retention) => Promise<void>;
}

export interface GroupOptions {
  readonly retention: boolean;
  readonly signal?: AbortSignal;
  readonly onProgress: (share: number) => void;
}

/** Codes of errors that lie in one sample and leave the others alone. */
export const sampleErrors: ReadonlySet<string> = new Set([
  'context_length_exceeded',
  'budget_invalid',
  'data_malformed',
  'template_invalid',
  'score_error',
  'invalid_argument',
  // What does not fit takes nothing from those that do.
  'out_of_memory',
  'worker_failed',
]);

/**
 * Runs samples that share one context under one cell and scores their answers.
 * @throws KvsiftError of the engine; errors that lie in the samples become results where the run goes on
 */
export async function* runGroup(
  engine: EvalEngine,
  context: SampleContext,
  cell: Cell,
  samples: readonly PromptedSample[],
  options: GroupOptions,
): AsyncGenerator<Result> {
  const [first] = samples;
  if (first === undefined) return;
  let index = 0;
  try {
    const answers = engine.answer({
      context: first.prompt.context,
      addSpecial: first.prompt.addSpecial,
      questions: samples.map(({ prompt }) => prompt.question),
      setting: { ...cell.setting, seed: context.seed, sequence: sequenceOf(first.sample) },
      retention: options.retention,
      ...(options.signal && { signal: options.signal }),
      onProgress: options.onProgress,
    });
    for await (const answer of answers) {
      const prompted = samples[index];
      index += 1;
      if (prompted === undefined) throw new KvsiftError('invalid_argument', 'more answers than questions');
      const key = keyFor(context, cell, prompted.sample);
      if (answer.retention !== undefined) await context.saveRetention(key, answer.retention);
      yield { ...key, ...commonFields(cell, prompted), ...scoreFields(context, prompted.sample, answer), ...measured(answer) };
    }
  } catch (error) {
    if (context.onError === 'stop' || !isKvsiftError(error) || !sampleErrors.has(error.code)) throw error;
    for (const prompted of samples.slice(index)) {
      const failure = { score: null, prediction: '', error: { code: error.code, message: error.message } };
      yield { ...keyFor(context, cell, prompted.sample), ...commonFields(cell, prompted), ...failure, ...nothingMeasured };
    }
  }
}

/** The key under which a sample's result is stored. */
export function keyFor(context: SampleContext, cell: Cell, sample: Pick<Sample, 'task' | 'id'>): ResultKey {
  const { manifestHash: manifest, model, suite } = context;
  return { manifest, model, policy: cell.policy, budget: cell.budget, suite: suite.name, task: sample.task, sample: sample.id };
}

function commonFields(cell: Cell, { sample, shown }: PromptedSample) {
  return {
    label: cell.label,
    expected: sample.expected,
    ...(sample.meta && { meta: sample.meta }),
    prompt: shown,
  };
}

function scoreFields({ suite, profile }: SampleContext, sample: Sample, answer: EngineAnswer) {
  const score = suite.score(sample, answer.text, profile);
  if (typeof score === 'number') return { score, prediction: answer.text };
  const error = { code: 'score_error', message: `${score.error}: ${score.message}` };
  return { score: null, prediction: answer.text, error };
}

function measured({ text: _text, retention: _retention, ...numbers }: EngineAnswer) {
  return numbers;
}

const nothingMeasured = {
  contextTokens: 0,
  generatedTokens: 0,
  decodedTokens: 0,
  cacheBytes: 0,
  prefillSeconds: 0,
  firstTokenSeconds: 0,
  decodeSeconds: 0,
  finishReason: 'error',
};

/** A number for a sample that depends on nothing but its name: FNV-1a of task and id. */
function sequenceOf(sample: Sample): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(`${sample.task} ${sample.id}`)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash;
}
