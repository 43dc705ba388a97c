/** Families that the decoder knows how to run. */
export const architectures = ['llama', 'mistral', 'qwen2', 'qwen3', 'phi3', 'gemma2', 'gemma3'] as const;
/** A family that the decoder knows how to run. */
export type Architecture = (typeof architectures)[number];

/** How rotary frequencies are scaled; parameters as in the papers and in Hugging Face's `rope_scaling`. */
export type RopeScaling =
  | { readonly type: 'default' }
  | { readonly type: 'linear'; readonly factor: number }
  | { readonly type: 'dynamic'; readonly factor: number; readonly originalLength: number }
  | {
      readonly type: 'yarn';
      readonly factor: number;
      readonly originalLength: number;
      readonly attentionFactor?: number;
      readonly betaFast: number;
      readonly betaSlow: number;
      /** Round the correction range to whole dimensions. */
      readonly truncate: boolean;
    }
  | {
      readonly type: 'llama3';
      readonly factor: number;
      readonly lowFrequencyFactor: number;
      readonly highFrequencyFactor: number;
      readonly originalLength: number;
    }
  | {
      readonly type: 'longrope';
      readonly shortFactors: readonly number[];
      readonly longFactors: readonly number[];
      readonly originalLength: number;
      readonly attentionFactor: number;
    }
  /** Inverse frequencies are divided by these (GGUF `rope_freqs.weight`). */
  | { readonly type: 'factors'; readonly factors: readonly number[] };

/** Rotary positions of a layer. */
export interface RopeConfig {
  readonly theta: number;
  /** Channels of a head that rotate: the first `dimensions`. */
  readonly dimensions: number;
  readonly scaling: RopeScaling;
}

/** One layer's kind of attention. */
export interface LayerConfig {
  /** Sliding window in positions; absent: all. */
  readonly window?: number;
  readonly rope: RopeConfig;
}

/** Everything about a model except its weights, the same whether it came from `config.json` or from GGUF metadata. */
export interface ModelConfig {
  readonly architecture: Architecture;
  readonly hidden: number;
  readonly intermediate: number;
  readonly queryHeads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly vocabulary: number;
  /** Longest sequence the model was made for, in tokens. */
  readonly contextLength: number;
  readonly layers: readonly LayerConfig[];
  readonly normEpsilon: number;
  /** Added to norm weights: 1 for Gemma weights in Hugging Face form. */
  readonly normWeightOffset: number;
  /** Embeddings are multiplied by this. */
  readonly embeddingScale: number;
  readonly activation: 'silu' | 'gelu_tanh' | 'gelu';
  /** Factor on q·k. */
  readonly attentionScale: number;
  readonly attentionSoftcap?: number;
  readonly finalSoftcap?: number;
  /** A norm per head on queries and keys before rotation. */
  readonly headNorms: boolean;
  /** Norms after attention and after the feed-forward block, before the residual is added (Gemma). */
  readonly postNorms: boolean;
}
