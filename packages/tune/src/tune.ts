import type { LanguageModel } from '@kvsift/engine';
import { budgetsFor, type EvictionPolicy, formatPolicy, namedBudget } from '@kvsift/policy';
import { KvsiftError } from '@kvsift/tensor';
import { halve, type Measured } from './halving.js';
import type { TunePrompt } from './prompts.js';
import { type Baseline, type Reading, type ReadingOptions, readBaseline, readPrompt } from './quality.js';

/** A policy with the budget that it is tried with. */
export interface Candidate {
  readonly policy: string;
  readonly budget: string;
}

/** A candidate after a round. */
export interface Trial extends Candidate {
  readonly prompts: number;
  /** Share of the full cache's quality that it kept. */
  readonly quality: number;
  /** Means over the prompts that it was tried on. */
  readonly cacheBytes: number;
  /** Cache bytes as a share of the full cache's on the same prompts. */
  readonly cacheShare: number;
  readonly secondsPerPrompt: number;
}

/** What to choose from, and what must be kept. */
export interface TuneOptions extends Partial<ReadingOptions> {
  readonly policies: readonly EvictionPolicy[];
  readonly budgets: readonly string[];
  /** Share of the full cache's quality that must be kept, 0 … 1. Default 0.99 */
  readonly target?: number;
  /** Prompts of the first round. */
  readonly first?: number;
  /** Told of each trial as it ends. */
  readonly onTrial?: (trial: Trial) => void;
  /** Prompts read, of those of the step at hand. */
  readonly onProgress?: (step: string, done: number, total: number) => void;
}

/** What a search found. */
export interface Tuning {
  /** The cheapest that evicts something and keeps the target; undefined where only the full cache does. */
  readonly best: Trial | undefined;
  /** Every candidate as last measured, best first. */
  readonly tried: readonly Trial[];
  readonly full: { readonly cacheBytes: number; readonly found: number; readonly expected: number };
}

/**
 * Finds the cheapest policy and budget that keep `target` of the full cache's quality on these prompts. Quality of a prompt with an answer: whether it is in what the
 * model says, over all such prompts as a share of those that the full cache gets right; without one: the per-token probability of the full cache's own
 * answer, as a share of its probability there. Cost: bytes of the cache after the prompt, as a share of the full cache's on the same
 * prompts.
 * @throws KvsiftError `invalid_argument` where there is nothing to choose from, or the full cache finds none of the answers; `context_length_exceeded`, `budget_invalid`, `aborted`
 */
export async function tune(model: LanguageModel, prompts: readonly TunePrompt[], options: TuneOptions): Promise<Tuning> {
  const { policies, budgets, target = 0.99, first, onTrial, onProgress = () => {} } = options;
  if (prompts.length === 0 || policies.length === 0 || budgets.length === 0) {
    throw new KvsiftError('invalid_argument', 'tuning needs at least one prompt, one policy and one budget');
  }
  if (!(target > 0 && target <= 1))
    throw new KvsiftError('invalid_argument', `expected a target above 0 and up to 1, got ${target}`);
  const reading: ReadingOptions = { maxTokens: 64, chat: true, ...options };
  const baselines: Baseline[] = [];
  for (const [index, prompt] of prompts.entries()) {
    onProgress('full cache', index, prompts.length);
    baselines.push(await readBaseline(model, prompt, reading));
  }
  const expected = baselines.filter(({ found }) => found !== undefined);
  const usable = baselines.filter(({ found }) => found !== false);
  if (usable.length === 0) {
    throw new KvsiftError(
      'invalid_argument',
      `the full cache finds none of the ${expected.length} answers: nothing can be compared with it; check prompts and answers, or leave the answers out`,
    );
  }
  const candidates = policies.flatMap((policy) => budgetsFor(policy, budgets).map((budget) => ({ policy, budget })));
  const readings = new Map<(typeof candidates)[number], Reading[]>();
  const describe = ({ candidate, prompts: count, quality, cost }: Measured<(typeof candidates)[number]>): Trial => {
    const known = readings.get(candidate) ?? [];
    return {
      policy: formatPolicy(candidate.policy),
      budget: candidate.budget,
      prompts: count,
      quality,
      cacheBytes: mean(known.map(bytes)),
      cacheShare: cost,
      secondsPerPrompt: mean(known.map(({ seconds }) => seconds)),
    };
  };
  const { best, tried } = await halve({
    candidates,
    prompts: usable.length,
    target,
    ...(first !== undefined && { first }),
    async measure(candidate, count) {
      const { policy, budget } = candidate;
      // What an earlier round has read is not read again.
      const known = readings.get(candidate) ?? [];
      readings.set(candidate, known);
      for (const [index, baseline] of usable.slice(0, count).entries()) {
        if (index < known.length) continue;
        onProgress(`${policy.name} ${budget}`, index, count);
        known.push(await readPrompt(model, baseline, { policy, ...namedBudget(budget) }, reading));
      }
      const measured = {
        candidate,
        prompts: count,
        quality: mean(known.map(({ quality }) => quality)),
        cost: mean(known.map(bytes)) / mean(usable.slice(0, known.length).map(bytes)),
      };
      onTrial?.(describe(measured));
      return measured;
    },
  });
  return {
    best: best && describe(best),
    tried: tried.map(describe),
    full: {
      cacheBytes: mean(usable.map(bytes)),
      found: expected.filter(({ found }) => found).length,
      expected: expected.length,
    },
  };
}

const bytes = ({ cacheBytes }: { readonly cacheBytes: number }) => cacheBytes;

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
