import { type Backend, KvsiftError, type StoredTensor, type Tensor } from '@kvsift/tensor';
import type { ModelConfig, RopeConfig } from './config.js';
import { DecoderLayer } from './layer.js';
import { type RopeTable, ropeTable } from './rope.js';
import { findWeights } from './weights.js';

/** A rope table on the backend. */
export interface LoadedRope {
  readonly inverseFrequencies: Tensor;
  readonly scale: number;
}

export interface ModelSource {
  readonly config: ModelConfig;
  readonly format: 'gguf' | 'safetensors';
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** Path, for messages. */
  readonly path: string;
}

export interface LoadOptions {
  readonly signal?: AbortSignal;
  /** Called after each layer: layers done of all. */
  readonly onProgress?: (done: number, total: number) => void;
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
    const stored = findWeights(source.tensors, config, source.format, source.path);
    const made: Disposable[] = [];
    try {
      const keep = <T extends Disposable>(resource: T): T => {
        made.push(resource);
        const { signal } = options;
        if (signal?.aborted) throw new KvsiftError('aborted', 'loading was aborted', {}, { cause: signal.reason });
        return resource;
      };
      const at = (share: number) => backend.place?.(share) ?? backend;
      const embedding = keep(await at(0).load(stored.embedding, 'embedding'));
      const finalNorm = keep(await at(1).load(stored.finalNorm, 'vector'));
      const head = keep(await at(1).load(stored.head, 'linear'));
      const layers: DecoderLayer[] = [];
      for (const [index, weights] of stored.layers.entries()) {
        const layerConfig = config.layers[index];
        if (layerConfig === undefined) break;
        layers.push(keep(await DecoderLayer.load(at(index / config.layers.length), config, layerConfig, weights)));
        options.onProgress?.(index + 1, config.layers.length);
      }
      return new DecoderModel(backend, config, layers, embedding, finalNorm, head);
    } catch (error) {
      for (const resource of made) resource[Symbol.dispose]();
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
