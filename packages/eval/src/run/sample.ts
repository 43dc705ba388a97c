import { isKvsiftError, KvsiftError } from '@kvsift/tensor';
import type { AnswerRequest, CacheSetting, EngineAnswer, EvalEngine, Retention, SharedAnswer } from '../engine/contract.js';
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

/** A result, and whether its context was read for it: not for one before it that shares the reading. */
export interface Ran {
  readonly result: Result;
  readonly read: boolean;
}

/**
 * Runs samples that share one context and scores their answers, under cells that share one reading of it.
 * @throws KvsiftError of the engine; errors that lie in the samples become results where the run goes on
 */
export async function* runGroup(
  engine: EvalEngine,
  context: SampleContext,
  cells: readonly Cell[],
  samples: readonly PromptedSample[],
  options: GroupOptions,
): AsyncGenerator<Ran> {
  const [first] = samples;
  if (first === undefined) return;
  const answered = cells.map(() => 0);
  try {
    const request = {
      context: first.prompt.context,
      addSpecial: first.prompt.addSpecial,
      questions: samples.map(({ prompt }) => prompt.question),
      retention: options.retention,
      ...(options.signal && { signal: options.signal }),
      onProgress: options.onProgress,
    };
    const settings = cells.map(({ setting }) => ({ ...setting, seed: context.seed, sequence: sequenceOf(first.sample) }));
    for await (const { setting, read, answer } of answersOf(engine, request, settings)) {
      const cell = cells[setting];
      const prompted = samples[answered[setting] ?? 0];
      if (prompted === undefined || cell === undefined) throw new KvsiftError('invalid_argument', 'more answers than questions');
      answered[setting] = (answered[setting] ?? 0) + 1;
      const key = keyFor(context, cell, prompted.sample);
      if (answer.retention !== undefined) await context.saveRetention(key, answer.retention);
      const result = { ...key, ...commonFields(cell, prompted), ...scoreFields(context, prompted.sample, answer) };
      yield { read, result: { ...result, ...measured(answer) } };
    }
  } catch (error) {
    const fault = options.signal?.aborted ? undefined : faultOfSample(error);
    if (fault === undefined) throw error;
    if (cells.length > 1) {
      // What one of them fails at the others may be able to do, one at a time.
      for (const [index, cell] of cells.entries()) {
        const left = samples.slice(answered[index]);
        yield* runGroup(engine, context, [cell], left, options);
      }
      return;
    }
    const [cell] = cells;
    if (context.onError === 'stop' || cell === undefined) throw error;
    for (const prompted of samples.slice(answered[0])) {
      const failure = { score: null, prediction: '', error: fault };
      const result = { ...keyFor(context, cell, prompted.sample), ...commonFields(cell, prompted), ...failure };
      yield { read: false, result: { ...result, ...nothingMeasured } };
    }
  }
}

/** What is stored of an error that lies in a sample: those that a policy from outside throws are of no kind that we know. */
function faultOfSample(error: unknown): Result['error'] {
  if (isKvsiftError(error)) return sampleErrors.has(error.code) ? { code: error.code, message: error.message } : undefined;
  return error instanceof Error ? { code: 'unexpected', message: `${error.name}: ${error.message}` } : undefined;
}

async function* answersOf(
  engine: EvalEngine,
  request: Omit<AnswerRequest, 'setting'>,
  settings: readonly CacheSetting[],
): AsyncGenerator<SharedAnswer> {
  const [setting, another] = settings;
  if (setting === undefined) return;
  if (another !== undefined && engine.answerAll !== undefined) {
    yield* engine.answerAll(request, settings);
    return;
  }
  let read = true;
  for await (const answer of engine.answer({ ...request, setting })) {
    yield { setting: 0, read, answer };
    read = false;
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
    ...(cell.outside && { outside: cell.outside }),
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
