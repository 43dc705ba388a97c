import { entryBytes } from '@kvsift/cache';
import type { ModelConfig } from '@kvsift/models';
import type { Budget, EvictionPolicy } from '@kvsift/policy';
import { byteLength, type KvType, type StoredTensor } from '@kvsift/tensor';
import { modelShape } from './layer-view.js';

export interface EstimateInput {
  readonly config: ModelConfig;
  readonly tensors: Iterable<StoredTensor>;
  /** Tokens of the prompt. */
  readonly context: number;
  readonly kvType: KvType;
  readonly policy?: EvictionPolicy;
  readonly budget?: Budget;
  /** Token rows per prefill chunk. */
  readonly chunkRows: number;
}

/** Bytes that a run will need, before anything is loaded. */
export interface MemoryEstimate {
  /** Weights as stored in the file; a backend may add its repacked form. */
  readonly weights: number;
  /** The cache after the prompt, without head-room. */
  readonly cache: number;
  /** The same with nothing evicted. */
  readonly fullCache: number;
  /** Largest cache while the prompt is read: the kept part of the layers done, and one full layer with its compacted copy. */
  readonly prefillCache: number;
  /** Hidden states of all tokens and the activations of one chunk, in float32. */
  readonly activations: number;
  readonly peak: number;
}

/** Estimates memory from shapes alone. @throws KvsiftError of the policy where the budget does not fit it */
export function estimateMemory(input: EstimateInput): MemoryEstimate {
  const { config, context, kvType } = input;
  const storage = { dtype: kvType };
  const perEntry = (layer: number) => {
    const shape = { kvHeads: config.kvHeads, headDim: config.headDim, positions: config.layers[layer]?.window !== undefined };
    return entryBytes(storage, shape);
  };
  using run =
    input.policy !== undefined && input.budget !== undefined
      ? input.policy.begin({
          model: modelShape(config, storage),
          promptLength: context,
          budget: input.budget,
          seed: 0,
          sequence: 0,
        })
      : undefined;
  const full = config.layers.map((_, layer) => context * config.kvHeads * perEntry(layer));
  const kept = full.map((bytes, layer) =>
    Math.min(bytes, (run?.budgets[layer]?.total ?? Number.POSITIVE_INFINITY) * perEntry(layer)),
  );
  let done = 0;
  let prefillCache = 0;
  for (const [layer, bytes] of full.entries()) {
    const own = kept[layer] ?? bytes;
    prefillCache = Math.max(prefillCache, done + bytes + (own < bytes ? own : 0));
    done += own;
  }
  const { hidden, intermediate, queryHeads, kvHeads, headDim } = config;
  const rows = Math.min(input.chunkRows, context);
  const widest = 3 * hidden + 2 * headDim * (2 * queryHeads + 2 * kvHeads) + 3 * intermediate;
  const activations = 4 * (context * hidden + rows * widest);
  const weights = sum(Array.from(input.tensors, (tensor) => byteLength(tensor.dtype, tensor.shape)));
  return {
    weights,
    cache: sum(kept),
    fullCache: sum(full),
    prefillCache,
    activations,
    peak: weights + prefillCache + activations,
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
