import { entryBytes } from '@kvsift/cache';
import type { ModelConfig } from '@kvsift/models';
import type { Budget, EvictionPolicy, Observation, ObservedRows } from '@kvsift/policy';
import { type BackendInfo, byteLength, type KvType, type StoredTensor } from '@kvsift/tensor';
import { budgetOf } from './begin.js';
import { hidesUnreachable } from './layer-pass.js';
import { modelShape } from './layer-view.js';
import { answerRoom, chunkRows } from './prefill.js';

/** What an estimate of memory goes by: shapes alone. */
export interface EstimateInput {
  readonly config: ModelConfig;
  readonly tensors: Iterable<StoredTensor>;
  /** Tokens of the prompt. */
  readonly context: number;
  readonly kvType: KvType;
  readonly policy?: EvictionPolicy;
  readonly budget?: Budget;
  /** Of the backend that will run it. */
  readonly info: Pick<BackendInfo, 'chunk' | 'wholeProducts'>;
}

/** Bytes that a run will need, before anything is loaded. */
export interface MemoryEstimate {
  /** Weights as stored in the file; a backend may add its repacked form. */
  readonly weights: number;
  /** The cache after the prompt, without head-room. */
  readonly cache: number;
  /** The same with nothing evicted. */
  readonly fullCache: number;
  /** Largest cache while the prompt is read: the kept part of the layers done, and one full layer with its compacted copy or room for an answer. */
  readonly prefillCache: number;
  /** Hidden states of all tokens, the activations of one chunk and what the policy looks at, in float32. */
  readonly activations: number;
  /** Largest sum of all at one time. */
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
  const budget = budgetOf(input);
  using run =
    input.policy !== undefined && budget !== undefined
      ? input.policy.begin({
          model: modelShape(config, storage),
          promptLength: context,
          budget,
          seed: 0,
          sequence: 0,
        })
      : undefined;
  const full = config.layers.map((_, layer) => context * config.kvHeads * perEntry(layer));
  const hides = run !== undefined && hidesUnreachable(run);
  /** Entries per head that later tokens can see. */
  const reach = config.layers.map(({ window }) => Math.min(context, (hides ? window : undefined) ?? context));
  const seenLater = reach.map((entries, layer) => entries * config.kvHeads * perEntry(layer));
  const kept = full.map((bytes, layer) => {
    const budget = (run?.budgets[layer]?.total ?? Number.POSITIVE_INFINITY) * perEntry(layer);
    return budget >= bytes ? bytes : Math.min(budget, seenLater[layer] ?? bytes);
  });
  const rows = Math.min(chunkRows(config, input.info.chunk), context);
  const chunk = chunkBytes(config, input.info.wholeProducts ?? false);
  const observed = run === undefined ? 0 : observedBytes(config, run.observe, context, input.info);
  const last = config.layers.length - 1;
  const room = answerRoom(context, config.contextLength);
  let done = 0;
  let prefillCache = 0;
  let activations = 0;
  let peak = 0;
  for (const [layer, bytes] of full.entries()) {
    const own = kept[layer] ?? bytes;
    const evicts = own < bytes;
    const free = evicts ? 0 : room * config.kvHeads * perEntry(layer);
    // The last layer lets go of what it has read, and computes all of it for the last chunk only; attention where its sums are wanted.
    const reading =
      layer < last
        ? context * float * config.hidden + rows * chunk.whole
        : Math.max(
            context * float * config.hidden + rows * (run?.observe.columnSums ? chunk.attended : chunk.appended),
            (context - rows) * float * config.hidden + (context > rows ? rows * chunk.split : 0),
            rows * (float * config.hidden + chunk.whole),
          );
    const seen = evicts ? observed : 0;
    const within = seenLater[layer] ?? bytes;
    const others = done + seen + (layer < last ? context * float * config.hidden : 0);
    prefillCache = Math.max(prefillCache, done + bytes + free + (within < bytes && evicts ? within : evicts ? own : 0));
    activations = Math.max(activations, reading + seen);
    peak = Math.max(
      peak,
      done + bytes + free + seen + reading,
      evicts && within < bytes ? others + bytes + within : 0,
      own < within ? others + within + own + scoreBytes(config, reach[layer] ?? context) : 0,
    );
    done += own + free;
  }
  const weights = sum(Array.from(input.tensors, (tensor) => byteLength(tensor.dtype, tensor.shape)));
  return {
    weights,
    cache: sum(kept),
    fullCache: sum(full),
    prefillCache,
    activations,
    peak: weights + peak,
  };
}

const float = 4;

/** Bytes per row of what is alive at once while a chunk passes through a layer. */
function chunkBytes({ hidden, intermediate, queryHeads, kvHeads, headDim, postNorms }: ModelConfig, wholeProducts: boolean) {
  const [q, kv] = [queryHeads * headDim, kvHeads * headDim];
  // Normed rows, and what the product made beside its three parts.
  const split = hidden + 2 * (q + 2 * kv);
  // Normed rows, and the parts before and after their rotation: only now the layer needs its cache.
  const appended = hidden + 2 * q + 3 * kv;
  const attended = appended + q;
  // Attention, the rows after it, gate and up where they exist, and the gated product, beside their norm or the result; or what is added, and its norm.
  const between = wholeProducts ? Math.max(2 * hidden + 2 * intermediate, hidden + 3 * intermediate) : 2 * hidden + intermediate;
  const fed = q + Math.max(between, (postNorms ? 4 : 2) * hidden);
  return {
    split: float * split,
    appended: float * appended,
    attended: float * attended,
    whole: float * Math.max(split, attended, fed),
  };
}

/** Bytes that a policy lets a layer collect. */
function observedBytes(
  { hidden, queryHeads, kvHeads, headDim }: ModelConfig,
  observe: Observation,
  context: number,
  { wholeProducts }: EstimateInput['info'],
): number {
  const rows = (wanted: ObservedRows | undefined) =>
    wanted === 'all' ? context : wanted === undefined || wanted === 'none' ? 0 : Math.min(context, wanted.last);
  const queries = (rows(observe.queries) + rows(observe.queriesBeforeRotation)) * queryHeads * headDim;
  const keys = observe.keysBeforeRotation ? context * kvHeads * headDim : 0;
  const sums = observe.columnSums ? context * queryHeads : 0;
  const projection = observe.outputProjection && wholeProducts ? hidden * queryHeads * headDim : 0;
  return float * (queries + keys + sums + projection + rows(observe.hidden) * hidden);
}

/** Bytes of a layer's scores: by query head, pooled, by KV head, and the order of the best. */
function scoreBytes({ queryHeads, kvHeads }: ModelConfig, context: number): number {
  return float * context * (2 * queryHeads + 4 * kvHeads);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
