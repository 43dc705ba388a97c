import type { CacheStatistics } from '@kvsift/cache';
import { type Backend, KvsiftError, type SamplingRule, type Tensor, uniformAt } from '@kvsift/tensor';
import type { Drawn } from './answer.js';
import type { LogitsRow } from './logits-row.js';

/** How the next token is drawn. The default is greedy. */
export interface SamplingOptions {
  /** 0 is greedy. Default 0. */
  readonly temperature?: number;
  /** Only the k most likely; 0 means all. Default 0. */
  readonly topK?: number;
  /** Only the most likely that together reach this probability. Default 1: all. */
  readonly topP?: number;
  /** Only those with at least this share of the largest probability. Default 0: all. */
  readonly minP?: number;
  /** Equal seeds give equal texts. Default 0. */
  readonly seed?: number;
}

/** Purpose numbers of random streams; policies use others. */
const samplingPurpose = 1;

/** @throws KvsiftError `invalid_argument` naming the option */
export function checkSampling(options: SamplingOptions): void {
  const ranges: readonly (readonly [keyof SamplingOptions, number, number])[] = [
    ['temperature', 0, 100],
    ['topK', 0, Number.MAX_SAFE_INTEGER],
    ['topP', 0, 1],
    ['minP', 0, 1],
    ['seed', 0, 2 ** 32 - 1],
  ];
  for (const [name, low, high] of ranges) {
    const value = options[name];
    if (value !== undefined && !(typeof value === 'number' && value >= low && value <= high)) {
      throw new KvsiftError('invalid_argument', `${name} must be a number between ${low} and ${high}, not ${shown(value)}`, {
        name,
        value,
      });
    }
  }
  for (const name of ['topK', 'seed'] as const) {
    const value = options[name];
    if (value !== undefined && !Number.isInteger(value)) {
      throw new KvsiftError('invalid_argument', `${name} must be an integer, not ${value}`, { name, value });
    }
  }
}

/** A value as a message shows it: strings in quotes, NaN as NaN. */
function shown(value: unknown): string {
  return typeof value === 'number' ? String(value) : JSON.stringify(value);
}

/** One token to draw, and the state of the session that draws it. */
export interface Drawing {
  /** Owned by whoever gave them. */
  readonly logits: LogitsRow;
  readonly rule: SamplingRule;
  /** Tokens that the context can take after it. */
  readonly room: number;
  readonly statistics: CacheStatistics;
  /** Whether its step may start before anybody has read it: the answer goes on unless the token itself ends it. */
  readonly goesOn: boolean;
}

/** The rule for token `index` of a sequence. */
export function samplingRule(options: SamplingOptions, sequence: number, index: number): SamplingRule {
  return {
    temperature: options.temperature ?? 0,
    topK: options.topK ?? 0,
    topP: options.topP ?? 1,
    minP: options.minP ?? 0,
    uniform: uniformAt({ seed: options.seed ?? 0, sequence, layer: 0, purpose: samplingPurpose }, 0, index),
  };
}

/**
 * Draws a token from each row of logits f32 [rows, vocabulary].
 * @param meanwhile enqueues what may follow, given the ids (i32 [rows]) that nobody has read yet
 */
export async function drawTokens(
  backend: Backend,
  logits: Tensor,
  rules: readonly SamplingRule[],
  meanwhile: ((ids: Tensor) => void) | undefined = undefined,
): Promise<Drawn[]> {
  const drawn = backend.sample(logits, rules);
  using ids = drawn.ids;
  using logProbs = drawn.logProbs;
  const reading = Promise.all([ids.read(), logProbs.read()]);
  try {
    meanwhile?.(ids);
  } finally {
    await reading;
  }
  const [numbers, probabilities] = await reading;
  return rules.map((_, row) => {
    const logProb = probabilities[row] ?? Number.NaN;
    if (!Number.isNaN(logProb)) return { id: numbers[row] ?? 0, logProb };
    throw new KvsiftError(
      'backend_failure',
      'the logits are not numbers: the weights, or keys and values of the cache, hold NaN or infinity',
    );
  });
}
