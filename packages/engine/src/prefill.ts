import type { KvCache } from '@kvsift/cache';
import type { DecoderLayer, DecoderModel, ModelConfig } from '@kvsift/models';
import {
  type Compensation,
  joinObservations,
  type LayerView,
  narrowView,
  type Observation,
  type ObservedRows,
  type PolicyRun,
} from '@kvsift/policy';
import type { Backend, ChunkSize, KvView, Tensor } from '@kvsift/tensor';
import { throwIfAborted } from './abort.js';
import { ChunkPositions } from './chunk-positions.js';
import { type EvictionCost, EvictionCosts } from './eviction-costs.js';
import { applyDecision, attentionShape, describeLayer } from './layer-view.js';
import { RowCollector } from './observed-rows.js';
import { Pace } from './pace.js';
import { demandSound } from './restoring.js';
import { scoped } from './scope.js';
import type { Follower } from './sequence.js';

/** What an observer may look at after a layer has read the prompt, before anything is evicted. */
export interface LayerDone {
  readonly layer: number;
  readonly view: KvView;
  /** Rows that enter the next layer, f32 [rows, hidden], in chunks. Released after the call. */
  readonly hidden: readonly Tensor[];
}

/** The policy of a sequence while it reads. */
export interface Reader {
  /** Decides what each layer keeps; absent: everything stays. */
  readonly run?: PolicyRun;
  /** Takes note of what is read, for the time when tokens are decoded. */
  readonly follower?: Follower;
  readonly seed: number;
  readonly sequence: number;
}

/** A sequence with a cache of its own that takes part in another one's reading. */
export interface Branch extends Reader {
  readonly cache: KvCache;
}

export interface PrefillOptions extends Reader {
  /** Empty caches that each get every layer and let their own policy shrink it; the cache that reads is left empty then. */
  readonly branches?: readonly Branch[];
  /** What corrects the attention of tokens after the prompt. */
  readonly compensation?: Compensation;
  readonly signal?: AbortSignal;
  /** Tokens × layers done so far, of all. */
  readonly onProgress?: (done: number, total: number) => void;
  /** Looks at each layer; makes the last layer compute all rows. */
  readonly onLayer?: (done: LayerDone) => void | Promise<void>;
  /** Told what each eviction cost, layer by layer, as the stream comes by; resets the backend's peak. The reading waits for nothing more than without it. */
  readonly onEviction?: (cost: EvictionCost) => void;
  /** Tokens that the sequence is expected to reach; picks the rope table of dynamic and longrope models. */
  readonly expectedLength?: number;
}

/** Reads ids into a branch's cache under its policy; returns the last hidden state, owned by the caller. */
export type Reading = (branch: Branch, ids: Int32Array, options: PrefillOptions) => Promise<Tensor>;

/** What suits a few cores: a chunk takes a fraction of the time an abort may take. */
const usualChunk: ChunkSize = { rows: 512, work: 1.2e10 };

/**
 * Entries per head for which a cache that nothing is evicted from has room behind a long prompt, so that the first token of an answer does not move it: few
 * beside what it holds, as they count as its memory.
 */
export function answerRoom(tokens: number, contextLength: number): number {
  return tokens < 1024 ? 0 : Math.min(256, tokens >> 5, Math.max(0, contextLength - tokens));
}

/** Token rows that one chunk holds. */
export function chunkRows(config: ModelConfig, { rows, work }: ChunkSize = usualChunk): number {
  const { hidden, intermediate, queryHeads, kvHeads, headDim } = config;
  const layerWeights = hidden * (headDim * (2 * queryHeads + 2 * kvHeads) + 3 * intermediate);
  return Math.min(rows, Math.max(32, 2 ** Math.floor(Math.log2(work / layerWeights))));
}

/**
 * Reads tokens layer by layer: a layer reads all of them in row chunks, its policy chooses, the rest is released, and only then the next layer
 * starts. So the peak is one full layer, the kept part of the others, and activations of a row of hidden states per token.
 * @returns hidden state of the last token, f32 [1, hidden], owned by the caller
 */
export async function prefill(model: DecoderModel, cache: KvCache, ids: Int32Array, options: PrefillOptions): Promise<Tensor> {
  const { backend } = model;
  const { branches, run, signal } = options;
  const readers: readonly Branch[] = branches ?? [{ ...options, cache }];
  const observe = joinObservations(readers.map(observationOf));
  const count = ids.length;
  const first = cache.nextPosition;
  const rows = chunkRows(model.config, backend.info.chunk);
  const starts = Array.from({ length: Math.ceil(count / rows) }, (_, index) => index * rows);
  const positions = new ChunkPositions(first, count, starts);
  let hidden: Tensor[] = [];
  const pace = new Pace(backend);
  const costs = new EvictionCosts(backend);
  try {
    for (const start of starts) {
      const part = ids.subarray(start, Math.min(count, start + rows));
      using partIds = backend.upload(part, 'i32', [part.length]);
      hidden.push(model.embed(partIds));
    }
    const length = Math.max(options.expectedLength ?? 0, first + count);
    for (const [index, layer] of model.layers.entries()) {
      const lastOnly = index === model.layers.length - 1 && options.onLayer === undefined;
      const stays =
        branches === undefined && (run?.budgets[index]?.total ?? Number.POSITIVE_INFINITY) >= count * model.config.kvHeads;
      const room = stays && first === 0 ? answerRoom(count, model.config.contextLength) : 0;
      using pass = new LayerPass(model, layer, cache, index, observe, count, length, options.compensation, room);
      for (const [chunk, start] of starts.entries()) {
        throwIfAborted(signal, 'prefill');
        const before = hidden[chunk];
        const at = positions.on(layer.backend)[chunk];
        if (before === undefined || at === undefined) continue;
        const needed = !lastOnly || chunk === starts.length - 1;
        const after = pass.chunk(before, at, start, needed);
        before.dispose();
        hidden[chunk] = after;
        await pace.chunk();
        options.onProgress?.(index * count + start + (at.shape[0] ?? 0), model.layers.length * count);
      }
      await options.onLayer?.({ layer: index, view: cache.layer(index).view, hidden });
      for (const branch of branches ?? []) branch.cache.adopt(index, cache.layer(index).fork());
      if (readers.every((reader) => (reader.run ?? reader.follower) === undefined)) continue;
      if (options.onEviction === undefined) await pass.evict(readers);
      else await costs.measure(index, () => pass.evict(readers), options.onEviction);
      if (branches !== undefined) cache.layer(index).dispose();
    }
    await pace.drain();
    await costs.drain();
    const last = hidden.at(-1);
    if (last === undefined) throw new Error('no rows');
    const lastRows = last.shape[0] ?? 0;
    const result = backend.slice(last, 0, lastRows - 1, lastRows);
    const caches = readers.map((reader) => reader.cache);
    await demandSound([result], caches).catch((error: unknown) => {
      result.dispose();
      throw error;
    });
    for (const reader of readers) advance(reader, first, count);
    return result;
  } finally {
    positions[Symbol.dispose]();
    for (const tensor of hidden) if (tensor.alive) tensor.dispose();
    hidden = [];
  }
}

/** What a reader's policy wants to see: of the prompt what `run` does, of what comes behind it what the decode rule does. */
function observationOf({ run, follower }: Reader): Observation {
  if (run !== undefined || follower === undefined) return run?.observe ?? {};
  const { decode } = follower.run;
  if (decode?.read === undefined) return decode?.observe ?? {};
  const whole = (wanted: ObservedRows | boolean) => (typeof wanted === 'object' ? 'all' : wanted);
  return Object.fromEntries(Object.entries(decode.observe).map(([kind, wanted]) => [kind, whole(wanted)]));
}

function advance({ cache, run }: Branch, first: number, count: number): void {
  cache.seen += count;
  cache.nextPosition = run?.nextPosition === 'kept' ? cache.longest : first + count;
}

/** One layer reading the chunks of one sequence. */
class LayerPass implements Disposable {
  readonly #backend: Backend;
  readonly #queries: RowCollector;
  readonly #queryLogSums: RowCollector;
  readonly #queriesBefore: RowCollector;
  readonly #keysBefore: RowCollector;
  readonly #normed: RowCollector;
  #columnSums: Tensor | undefined;

  constructor(
    private readonly model: DecoderModel,
    private readonly layer: DecoderLayer,
    private readonly cache: KvCache,
    private readonly index: number,
    private readonly observe: Observation,
    private readonly count: number,
    private readonly length: number,
    private readonly compensation: Compensation | undefined,
    /** Entries per head for which there is to be room behind the prompt. */
    private readonly room: number,
  ) {
    this.#backend = layer.backend;
    this.#queries = new RowCollector(layer.backend, observe.queries, count);
    this.#queryLogSums = new RowCollector(layer.backend, observe.queries, count);
    this.#queriesBefore = new RowCollector(layer.backend, observe.queriesBeforeRotation, count);
    this.#keysBefore = new RowCollector(layer.backend, observe.keysBeforeRotation ? 'all' : 'none', count);
    this.#normed = new RowCollector(layer.backend, observe.hidden, count);
    if (observe.columnSums) {
      const { queryHeads } = model.config;
      this.#columnSums = layer.backend.upload(new Float32Array(queryHeads * count), 'f32', [queryHeads, count]);
    }
  }

  /** Appends the chunk's keys and values; returns the rows for the next layer, or an empty tensor where they are not `needed`. */
  chunk(hidden: Tensor, positions: Tensor, start: number, needed: boolean): Tensor {
    using attended = this.#attend(hidden, positions, start, needed || this.#columnSums !== undefined);
    if (!needed || attended === undefined) return this.#backend.empty('f32', [0, this.model.config.hidden]);
    return this.layer.finish(hidden, attended);
  }

  /** Appends the chunk's keys and values; returns its attention where that is `wanted`. */
  #attend(hidden: Tensor, positions: Tensor, start: number, wanted: boolean): Tensor | undefined {
    const backend = this.#backend;
    const rows = positions.shape[0] ?? 0;
    const rope = this.model.rope(this.layer, this.length);
    using projection = this.layer.project(hidden, positions, rope);
    const storage = this.cache.layer(this.index, this.count + this.room);
    // The whole prompt's room at once: chunks never make it grow.
    const view = storage.reserve(start === 0 ? this.count : rows);
    backend.kvAppend([{ view, rows }], projection.k, projection.v, positions);
    storage.advance(rows);
    this.#queries.add(projection.q, start);
    this.#queriesBefore.add(projection.qBeforeRotation, start);
    this.#keysBefore.add(projection.kBeforeRotation, start);
    this.#normed.add(projection.normed, start);
    if (!wanted) return undefined;
    const observed = this.#queryLogSums.from(start, rows) < rows;
    const { output, logSumExp } = backend.attention(projection.q, [{ view: storage.view, rows }], {
      ...attentionShape(this.model.config, this.index),
      ...(storage.view.positions && { positions }),
      ...((this.compensation || observed) && { logSumExp: true }),
      ...(this.#columnSums && { columnSums: this.#columnSums }),
    });
    using known = logSumExp;
    if (known === undefined) return output;
    this.#queryLogSums.add(known, start);
    if (this.compensation === undefined) return output;
    using scope = scoped(backend);
    const corrected = this.compensation.correct(this.index, scope.backend, projection.q, output, known);
    if (corrected === output) return output;
    output.dispose();
    return scope.keep(corrected);
  }

  /** Lets each policy choose and releases what it does not keep. */
  async evict(readers: readonly Branch[]): Promise<void> {
    using shared = scoped(this.#backend);
    let observed: Partial<LayerView> | undefined;
    for (const reader of readers) {
      const { cache, run, follower } = reader;
      const budget = (run ?? follower?.run)?.budgets[this.index];
      const storage = cache.layer(this.index);
      const evicts = run !== undefined && budget !== undefined && budget.total < storage.entries;
      if (!evicts && follower === undefined) continue;
      observed ??= this.#observed(shared.backend);
      follower?.window.push(this.#backend, this.index, observed);
      if (budget === undefined) continue;
      using scope = scoped(this.#backend);
      const whole: LayerView = {
        ...describeLayer(this.model, cache, this.index, this.length, scope, reader),
        budget,
        seen: cache.seen + this.count,
        ...observed,
      };
      if (run === undefined) await follower?.run.decode?.read?.(whole);
      if (run === undefined || !evicts) continue;
      const view = narrowView(whole, run.observe, budget, scope.backend);
      await applyDecision(storage, await run.select(view), this.index);
      const earlier = (layer: number): LayerView => ({
        ...describeLayer(this.model, cache, layer, this.length, scope, options),
        budget: run.budgets[layer] ?? budget,
        seen: whole.seen,
      });
      for (const { layer, decision } of (await run.revise?.(this.index, earlier)) ?? [])
        await applyDecision(cache.layer(layer), decision, layer);
    }
  }

  /** The collected rows; released with the scope because they pass through it. */
  #observed(backend: Backend): Partial<LayerView> {
    const pass = (name: keyof LayerView, tensor: Tensor | undefined): Partial<LayerView> => {
      if (tensor === undefined) return {};
      const alias = backend.reshape(tensor, tensor.shape);
      tensor.dispose();
      return { [name]: alias };
    };
    return {
      ...pass('queries', this.#queries.take()),
      // Not all of them in the last layer, which attends with the last chunk only.
      ...pass('queryLogSums', this.#queryLogSums.take()),
      ...pass('queriesBeforeRotation', this.#queriesBefore.take()),
      ...pass('keysBeforeRotation', this.#keysBefore.take()),
      ...pass('hidden', this.#normed.take()),
      ...pass('columnSums', this.#columnSums),
      ...(this.observe.outputProjection && { outputProjection: this.layer.outputProjection }),
    };
  }

  [Symbol.dispose](): void {
    for (const collector of [this.#queries, this.#queryLogSums, this.#queriesBefore, this.#keysBefore, this.#normed])
      collector[Symbol.dispose]();
    this.#columnSums?.dispose();
  }
}
