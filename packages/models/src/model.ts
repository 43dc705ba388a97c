import { type Backend, KvsiftError, type StoredTensor, type Tensor } from '@kvsift/tensor';
import type { ModelConfig, RopeConfig } from './config.js';
import { DecoderLayer } from './layer.js';
import { type RopeTable, ropeTable } from './rope.js';
import { findWeights, type LayerWeights } from './weights.js';

/** A rope table on the backend. */
export interface LoadedRope {
  readonly inverseFrequencies: Tensor;
  readonly scale: number;
}

/** Where the weights of a model lie. */
export interface ModelSource {
  readonly config: ModelConfig;
  readonly format: 'gguf' | 'safetensors';
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** Path, for messages. */
  readonly path: string;
}

/** Who may stop loading, and who is told of it. */
export interface LoadOptions {
  readonly signal?: AbortSignal;
  /** Called after each layer: layers done of all. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** Weights that are asked for before the oldest of them are there: the backend always has work, and an abort soon takes effect. */
const bytesAhead = 2 ** 27;

function layerBytes(weights: LayerWeights): number {
  return Object.values(weights)
    .flat()
    .reduce((sum, { byteLength }: StoredTensor) => sum + byteLength, 0);
}

/** A decoder language model on one backend. It computes on token rows and knows neither caches nor policies. */
export class DecoderModel implements Disposable {
  readonly #ropes = new Map<Backend, Map<string, LoadedRope>>();

  private constructor(
    readonly backend: Backend,
    readonly config: ModelConfig,
    readonly layers: readonly DecoderLayer[],
    private readonly embeddingTable: Tensor,
    private readonly finalNorm: Tensor,
    private readonly head: Tensor,
  ) {}

  /**
   * Loads all weights.
   * @throws KvsiftError `file_malformed` where the weights do not fit the config; `aborted`
   */
  static async load(backend: Backend, source: ModelSource, options: LoadOptions = {}): Promise<DecoderModel> {
    const { config } = source;
    const { signal, onProgress } = options;
    const stored = findWeights(source.tensors, config, source.format, source.path);
    const at = (share: number) => backend.place?.(share) ?? backend;
    const started: Promise<Disposable>[] = [];
    const start = <T extends Disposable>(resource: Promise<T>): Promise<T> => {
      // Its failure surfaces where it is awaited.
      resource.catch(() => {});
      started.push(resource);
      return resource;
    };
    try {
      const embedding = start(at(0).load(stored.embedding, 'embedding'));
      const finalNorm = start(at(1).load(stored.finalNorm, 'vector'));
      const head = start(at(1).load(stored.head, 'linear'));
      const asked: { readonly layer: Promise<DecoderLayer>; readonly bytes: number }[] = [];
      const layers: DecoderLayer[] = [];
      let ahead = 0;
      const takeNext = async (): Promise<void> => {
        const next = asked[layers.length];
        if (next === undefined) return;
        layers.push(await next.layer);
        ahead -= next.bytes;
        if (signal?.aborted) throw new KvsiftError('aborted', 'loading was aborted', {}, { cause: signal.reason });
        onProgress?.(layers.length, config.layers.length);
      };
      for (const [index, layer] of config.layers.entries()) {
        const weights = stored.layers[index];
        if (weights === undefined) break;
        const bytes = layerBytes(weights);
        asked.push({ layer: start(DecoderLayer.load(at(index / config.layers.length), config, layer, weights)), bytes });
        ahead += bytes;
        while (ahead > bytesAhead) await takeNext();
      }
      while (layers.length < asked.length) await takeNext();
      return new DecoderModel(backend, config, layers, await embedding, await finalNorm, await head);
    } catch (error) {
      for (const end of await Promise.allSettled(started)) if (end.status === 'fulfilled') end.value[Symbol.dispose]();
      throw error;
    }
  }

  /** Token embeddings of ids i32 [rows]: f32 [rows, hidden]. */
  embed(ids: Tensor): Tensor {
    return this.backend.embedding(this.embeddingTable, ids, this.config.embeddingScale);
  }

  /** Final norm of rows f32 [rows, hidden]. */
  norm(hidden: Tensor): Tensor {
    return this.backend.rmsNorm(hidden, this.finalNorm, {
      epsilon: this.config.normEpsilon,
      weightOffset: this.config.normWeightOffset,
    });
  }

  /** Logits f32 [rows, vocabulary] of rows that come out of the last layer. `apart`: as in `LinearOptions`. */
  logits(hidden: Tensor, apart = false): Tensor {
    const { finalSoftcap } = this.config;
    using normed = this.norm(hidden);
    if (finalSoftcap === undefined) return this.backend.linear(normed, this.head, { apart });
    using raw = this.backend.linear(normed, this.head, { apart });
    return this.backend.softcap(raw, finalSoftcap);
  }

  /** Rope table of a layer for a sequence of `length` tokens (only dynamic and longrope look at the length). Owned by the model. */
  rope(layer: DecoderLayer, length: number): LoadedRope {
    const key = ropeKey(layer.config.rope, length);
    const tables = this.#ropes.get(layer.backend) ?? new Map<string, LoadedRope>();
    this.#ropes.set(layer.backend, tables);
    const known = tables.get(key);
    if (known !== undefined) return known;
    const table: RopeTable = ropeTable(layer.config.rope, length);
    const loaded = {
      inverseFrequencies: layer.backend.upload(table.inverseFrequencies, 'f32', [table.inverseFrequencies.length]),
      scale: table.scale,
    };
    tables.set(key, loaded);
    return loaded;
  }

  /** Frees all weights and tables; sessions of the model are of no use afterwards. */
  dispose(): void {
    for (const layer of this.layers) layer.dispose();
    for (const tables of this.#ropes.values()) for (const { inverseFrequencies } of tables.values()) inverseFrequencies.dispose();
    this.#ropes.clear();
    for (const tensor of [this.embeddingTable, this.finalNorm, this.head]) tensor.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Equal keys have equal tables. */
function ropeKey(config: RopeConfig, length: number): string {
  const { type } = config.scaling;
  const regime =
    type === 'dynamic'
      ? Math.max(length, config.scaling.originalLength)
      : type === 'longrope'
        ? length > config.scaling.originalLength
        : '';
  return `${config.theta} ${config.dimensions} ${type} ${regime}`;
}
