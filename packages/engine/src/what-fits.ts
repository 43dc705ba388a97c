import type { ModelConfig } from '@kvsift/models';
import { type Budget, type EvictionPolicy, formatBudget, resolveBudgets } from '@kvsift/policy';
import { isKvsiftError, KvsiftError, type KvType } from '@kvsift/tensor';
import { estimateMemory } from './estimate.js';
import { idleRun } from './idle-run.js';

/** A first prefill that was tried. */
export interface Attempt {
  readonly config: ModelConfig;
  readonly kvType: KvType;
  readonly chunkRows: number;
  /** Tokens of the prompt. */
  readonly context: number;
  readonly policy?: EvictionPolicy;
  readonly budget?: Budget;
  /** Bytes that tensors held before it began. */
  readonly before: number;
}

/** Estimates are good to this factor. */
const margin = 1.05;

/** Stands for any policy that keeps the same number everywhere. */
const anyPolicy: EvictionPolicy = {
  name: 'any',
  parameters: {},
  ragged: false,
  begin: (context) => ({ ...idleRun('seen'), budgets: resolveBudgets(context) }),
};

/**
 * An `out_of_memory` of a prefill with what would have fitted: the longest prompt under the same policy and budget (`contextThatFits`), and the
 * largest share of this prompt that could be kept (`shareThatFits`, in percent). Other errors come back as they are.
 */
export function withWhatFits(error: unknown, { before, ...attempt }: Attempt): unknown {
  if (!isKvsiftError(error) || error.code !== 'out_of_memory') return error;
  const { availableBytes, heldBytes } = error.details;
  if (typeof availableBytes !== 'number' || typeof heldBytes !== 'number') return error;
  const room = heldBytes + availableBytes - before;
  const needs = (change: Partial<Attempt>): number => {
    try {
      return estimateMemory({ ...attempt, ...change, tensors: [] }).peak * margin;
    } catch {
      // A budget that is smaller than what the policy protects.
      return Number.POSITIVE_INFINITY;
    }
  };
  const { context, policy, budget } = attempt;
  const contextThatFits = largest(context - 1, (tokens) => needs({ context: tokens }) <= room);
  const shareThatFits = largest(99, (percent) => {
    const share: Budget = { kind: 'share', numerator: percent, denominator: 100 };
    return needs({ policy: policy ?? anyPolicy, budget: share }) <= room;
  });
  const neededBytes = needs({}) / margin;
  const how = policy && budget ? `with ${policy.name} at ${formatBudget(budget)}` : 'with nothing evicted';
  const sentences = [
    `reading ${count(context)} tokens ${how} takes about ${size(neededBytes)} beside the weights, and ${size(room)} are there`,
    contextThatFits > 0 ? `${count(contextThatFits)} tokens would fit` : 'no prompt would fit',
    ...(shareThatFits > 0 ? [`all of them where a policy keeps ${shareThatFits} % or less`] : []),
  ];
  return new KvsiftError(
    'out_of_memory',
    `${error.message}; ${sentences.join('; ')}`,
    { ...error.details, neededBytes: Math.round(neededBytes), roomBytes: room, contextThatFits, shareThatFits },
    { cause: error },
  );
}

/** Largest number from 1 to `most` for which `fits` holds, which it does up to some number; 0 where it never does. */
function largest(most: number, fits: (value: number) => boolean): number {
  let [low, high] = [0, most];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (fits(middle)) low = middle;
    else high = middle - 1;
  }
  return low;
}

const count = (value: number) => value.toLocaleString('en');
const size = (bytes: number) => (bytes < 2 ** 30 ? `${(bytes / 2 ** 20).toFixed(1)} MiB` : `${(bytes / 2 ** 30).toFixed(2)} GiB`);
