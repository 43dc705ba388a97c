import type { KvCache } from '@kvsift/cache';
import type { DecoderModel, ModelConfig } from '@kvsift/models';
import { type Compensation, joinObservations, type Observation, type ObservedRows, type PolicyRun } from '@kvsift/policy';
import type { ChunkSize, KvView, Tensor } from '@kvsift/tensor';
import { throwIfAborted } from './abort.js';
import { ChunkPositions } from './chunk-positions.js';
import { type EvictionCost, EvictionCosts } from './eviction-costs.js';
import { LayerPass } from './layer-pass.js';
import { Pace } from './pace.js';
import { demandSound } from './restoring.js';
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

/** How `prefill` reads a prompt into a cache, and what other caches take part. */
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
  /** Last tokens that no layer keeps: they count as not read. Default 0. */
  readonly aside?: number;
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
  const rows = chunkRows(model.config, backend.info.chunk);
  const starts = Array.from({ length: Math.ceil(count / rows) }, (_, index) => index * rows);
  const positions = new ChunkPositions(count, starts);
  for (const reader of readers) if (reader.run?.nextPosition === 'kept') reader.cache.numberedAnew = true;
  let hidden: Tensor[] = [];
  const pace = new Pace(backend);
  const costs = new EvictionCosts(backend);
  try {
    for (const start of starts) {
      const part = ids.subarray(start, Math.min(count, start + rows));
      using partIds = backend.upload(part, 'i32', [part.length]);
      hidden.push(model.embed(partIds));
    }
    const { seen } = cache;
    const length = Math.max(options.expectedLength ?? 0, cache.nextPosition + count);
    for (const [index, layer] of model.layers.entries()) {
      const lastOnly = index === model.layers.length - 1 && options.onLayer === undefined;
      const stays =
        branches === undefined && (run?.budgets[index]?.total ?? Number.POSITIVE_INFINITY) >= count * model.config.kvHeads;
      const room = stays && seen === 0 ? answerRoom(count, model.config.contextLength) : 0;
      const turns = positions.on(layer.backend, cache.positionIn(index));
      const text = positions.on(layer.backend, seen);
      using pass = new LayerPass(model, layer, cache, index, observe, count, length, options.compensation, room);
      for (const [chunk, start] of starts.entries()) {
        throwIfAborted(signal, 'prefill');
        const before = hidden[chunk];
        const [at, written] = [turns[chunk], text[chunk]];
        if (before === undefined || at === undefined || written === undefined) continue;
        const needed = !lastOnly || chunk === starts.length - 1;
        const after = pass.chunk(before, { turns: at, text: written }, start, needed);
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
    // Where nothing was evicted the last row comes from all that was read.
    const evicted = readers.filter((reader) => reader.run !== undefined).map((reader) => reader.cache);
    await demandSound([result], evicted).catch((error: unknown) => {
      result.dispose();
      throw error;
    });
    for (const reader of readers) reader.cache.advance(count - (options.aside ?? 0));
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
