import { type Backend, elementCount, type RopeOptions, type StoredTensor, type Tensor } from '@kvsift/tensor';
import type { LayerConfig, ModelConfig } from './config.js';
import { allLoaded } from './loading.js';
import type { LayerWeights } from './weights.js';

/** Queries, keys and values of some token rows. */
export interface Projection extends Disposable {
  /** Input of the attention block after its norm, f32 [rows, hidden]. */
  readonly normed: Tensor;
  /** Rotated, f32 [rows, queryHeads · headDim] and [rows, kvHeads · headDim]. */
  readonly q: Tensor;
  readonly k: Tensor;
  readonly v: Tensor;
  /** Before rotation, after the head norms. */
  readonly qBeforeRotation: Tensor;
  readonly kBeforeRotation: Tensor;
}

type LoadedLayer = { readonly [Part in keyof LayerWeights]: Tensor };

const matrices: ReadonlySet<string> = new Set<keyof LayerWeights>(['qkv', 'output', 'gateUp', 'down']);

/** One transformer block without its attention: what happens to token rows before and after it. */
export class DecoderLayer implements Disposable {
  private constructor(
    readonly backend: Backend,
    readonly model: ModelConfig,
    readonly config: LayerConfig,
    private readonly weights: LoadedLayer,
  ) {}

  /** Asks for all weights at once: whoever reads them need not wait for this thread in between. */
  static async load(backend: Backend, model: ModelConfig, config: LayerConfig, stored: LayerWeights): Promise<DecoderLayer> {
    const parts: [string, StoredTensor | readonly StoredTensor[]][] = Object.entries(stored);
    const weights = await allLoaded(
      parts.map(([part, source]) => backend.load(source, matrices.has(part) ? 'linear' : 'vector')),
    );
    const loaded = Object.fromEntries(parts.map(([part], index) => [part, weights[index]])) as unknown as LoadedLayer;
    return new DecoderLayer(backend, model, config, loaded);
  }

  /** The output projection [hidden, queryHeads · headDim], still in its stored form. */
  get outputProjection(): Tensor {
    return this.weights.output;
  }

  /** Norm, projections, head norms and rotation of rows f32 [rows, hidden] at positions i32 [rows]. `apart`: as in `LinearOptions`. */
  project(hidden: Tensor, positions: Tensor, rope: Omit<RopeOptions, 'heads'>, apart = false): Projection {
    const { backend, model, weights } = this;
    const { queryHeads, kvHeads, headDim } = model;
    const normed = this.#norm(hidden, weights.attentionNorm);
    const stacked = backend.linear(normed, weights.qkv, { ...(weights.qkvBias && { bias: weights.qkvBias }), apart });
    const widths = [queryHeads * headDim, kvHeads * headDim, kvHeads * headDim];
    const [qRaw, kRaw, v] = backend.splitColumns(stacked, widths) as [Tensor, Tensor, Tensor];
    // Disposed as early as may be, here and below: activations of a chunk are what a long prompt needs beside its cache.
    stacked.dispose();
    const qBeforeRotation = this.#headNorm(qRaw, weights.queryNorm);
    const kBeforeRotation = this.#headNorm(kRaw, weights.keyNorm);
    const q = backend.rope(qBeforeRotation, positions, { ...rope, heads: queryHeads });
    const k = backend.rope(kBeforeRotation, positions, { ...rope, heads: kvHeads });
    return {
      normed,
      q,
      k,
      v,
      qBeforeRotation,
      kBeforeRotation,
      [Symbol.dispose]() {
        for (const tensor of [normed, q, k, v, qBeforeRotation, kBeforeRotation]) tensor.dispose();
      },
    };
  }

  /** Output projection, residual and feed-forward block: the rows that enter the next layer. `apart`: as in `LinearOptions`. */
  finish(hidden: Tensor, attention: Tensor, apart = false): Tensor {
    using attended = this.#attended(hidden, attention, apart);
    return this.#feedForward(attended, apart);
  }

  /** Frees the weights of the layer. */
  dispose(): void {
    for (const tensor of Object.values(this.weights) as Tensor[]) tensor.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** hidden + norm?(output projection of the attention) */
  #attended(hidden: Tensor, attention: Tensor, apart: boolean): Tensor {
    const { backend } = this;
    const { output, outputBias: bias, postAttentionNorm } = this.weights;
    if (postAttentionNorm === undefined)
      return backend.linear(attention, output, { ...(bias && { bias }), residual: hidden, apart });
    using projected = backend.linear(attention, output, { ...(bias && { bias }), apart });
    using normed = this.#norm(projected, postAttentionNorm);
    return backend.zip(hidden, normed, 'add');
  }

  /** x + norm?(feed-forward block of x) */
  #feedForward(x: Tensor, apart: boolean): Tensor {
    const { backend, model, weights } = this;
    const { feedForwardNorm: norm, gateUp, gateUpBias, down, downBias, postFeedForwardNorm } = weights;
    const block = { norm, gateUp, ...(gateUpBias && { gateUpBias }), down, ...(downBias && { downBias }) };
    const options = { epsilon: model.normEpsilon, weightOffset: model.normWeightOffset, activation: model.activation, apart };
    if (postFeedForwardNorm === undefined) return backend.feedForward(x, block, { ...options, residual: x });
    using fed = backend.feedForward(x, block, options);
    using normed = this.#norm(fed, postFeedForwardNorm);
    return backend.zip(x, normed, 'add');
  }

  #norm(x: Tensor, weight: Tensor): Tensor {
    return this.backend.rmsNorm(x, weight, { epsilon: this.model.normEpsilon, weightOffset: this.model.normWeightOffset });
  }

  /** Takes over `x`. */
  #headNorm(x: Tensor, weight: Tensor | undefined): Tensor {
    if (weight === undefined) return x;
    const { backend } = this;
    using owned = x;
    using perHead = backend.reshape(owned, [elementCount(owned.shape) / this.model.headDim, this.model.headDim]);
    using normed = this.#norm(perHead, weight);
    return backend.reshape(normed, owned.shape);
  }
}
