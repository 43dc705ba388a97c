import type { DecoderModel } from '@kvsift/models';
import { type Budget, type EvictionPolicy, formatBudget, resolveBudgets } from '@kvsift/policy';
import { formatBytes, isKvsiftError, type KvStorage, KvsiftError } from '@kvsift/tensor';
import { budgetOf } from './begin.js';
import { type EstimateInput, estimateMemory } from './estimate.js';

import type { SessionOptions } from './session-options.js';

/** A first prefill that was tried. */
export interface Attempt {
  readonly model: DecoderModel;
  readonly storage: Pick<KvStorage, 'dtype'>;
  readonly options: SessionOptions;
  /** Tokens of the prompt. */
  readonly context: number;
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
  begin: (context) => ({
    observe: {},
    budgets: resolveBudgets(context),
    select: () => 'all',
    dispose() {},
    [Symbol.dispose]() {},
  }),
};

/**
 * An `out_of_memory` of a prefill with what would have fitted: the longest prompt under the same policy and budget (`contextThatFits`), and the
 * largest share of this prompt that could be kept (`shareThatFits`, in percent). Other errors come back as they are, and so do
 * those of a backend that is spread over devices: which of them is full depends on where its layers lie.
 */
export function withWhatFits(error: unknown, { model, storage, options, context, before }: Attempt): unknown {
  if (!isKvsiftError(error) || error.code !== 'out_of_memory' || model.backend.place !== undefined) return error;
  const { availableBytes, heldBytes } = error.details;
  if (typeof availableBytes !== 'number' || typeof heldBytes !== 'number') return error;
  const room = heldBytes + availableBytes - before;
  const { config, backend } = model;
  const { policy } = options;
  const budget = budgetOf(options);
  const needs = (change: Partial<EstimateInput>): number => {
    const own = { config, context, kvType: storage.dtype, info: backend.info, tensors: [] };
    try {
      return estimateMemory({ ...own, ...(policy && { policy }), ...(budget && { budget }), ...change }).peak * margin;
    } catch {
      // A budget that is smaller than what the policy protects.
      return Number.POSITIVE_INFINITY;
    }
  };
  const contextThatFits = largest(context - 1, (tokens) => needs({ context: tokens }) <= room);
  const shareThatFits = largest(99, (percent) => {
    const share: Budget = { kind: 'share', numerator: percent, denominator: 100 };
    return needs({ policy: policy ?? anyPolicy, budget: share }) <= room;
  });
  const neededBytes = needs({}) / margin;
  const how = policy && budget ? `with ${policy.name} at ${formatBudget(budget)}` : 'with nothing evicted';
  const sentences = [
    `reading ${count(context)} tokens ${how} takes about ${formatBytes(neededBytes)} beside the weights, and ${formatBytes(room)} are there`,
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
