import type { Tensor } from './tensor.js';

/** Softmax attention as the model defines it. */
export interface AttentionShape {
  readonly queryHeads: number;
  /** Factor on q·k, usually 1 / √headDim. */
  readonly scale: number;
  /** cap · tanh(x / cap) on scaled logits (Gemma 2); absent means none. */
  readonly softcap?: number;
  /** Sliding window in positions: a query sees itself and the `window` − 1 positions before it; absent means all. */
  readonly window?: number;
}

/** What `attention` is asked for besides its output. */
export interface AttentionOptions extends AttentionShape {
  /** Ask for the natural log-sum-exp of each row: f32 [rows, queryHeads]. */
  readonly logSumExp?: boolean;
  /** i32 [rows]: position of each query; needed with `window`. */
  readonly positions?: Tensor;
  /**
   * f32 [queryHeads, n], n at least the entries of the one uniform view: the probability that each entry gets from these rows is added to it, without a
   * second look at the keys where the backend can.
   */
  readonly columnSums?: Tensor;
}

/** What `attention` returns. */
export interface AttentionResult {
  /** f32 [rows, queryHeads · headDim] */
  readonly output: Tensor;
  readonly logSumExp?: Tensor;
}

/** Which probabilities are reduced over the query rows into one number per key. */
export type ColumnStatistic = 'sum' | 'max';

/** Which query rows see which entries where probabilities are summed per key. */
export interface ColumnOptions extends AttentionShape {
  /** 'causal': row i of m sees the entries 0 … length − behind − m + i of its head. 'none': every row sees every entry (NACL). */
  readonly mask: 'causal' | 'none';
  /** Entries after the last query row that no row may see under the causal mask: the rows end at entry length − 1 − behind. Default 0. */
  readonly behind?: number;
  /** i32 [m]: positions of the query rows; needed with `window`. */
  readonly positions?: Tensor;
  /** f32 [m, queryHeads]: row log-sum-exp where it is known already (spares one pass; causal only). */
  readonly logSumExp?: Tensor;
}

/** Which channels rotate, and how fast. */
export interface RopeOptions {
  readonly heads: number;
  /** f32 [rotary / 2]: angle per position of each pair (c, c + rotary / 2); a smaller rotary part leaves the other channels alone. */
  readonly inverseFrequencies: Tensor;
  /** Factor on cos and sin (yarn, longrope); default 1. */
  readonly scale?: number;
}

/** Constants of a root-mean-square norm. */
export interface NormOptions {
  readonly epsilon: number;
  /** Added to the weight: 1 for Gemma. Default 0. */
  readonly weightOffset?: number;
}

/** What a gated layer applies to its first half. */
export type Activation = 'silu' | 'gelu_tanh' | 'gelu';

/** What `linear` adds to the product, and how exact it has to be. */
export interface LinearOptions {
  /** f32 [outputs] */
  readonly bias?: Tensor;
  /** f32 [rows, outputs], added to the result. */
  readonly residual?: Tensor;
  /**
   * Rows of several sequences: each comes out as it would alone, to the bit. Otherwise a backend may multiply many rows in another way than few. The
   * CUDA backend keeps to it up to 8 rows. Default false.
   */
  readonly apart?: boolean;
}

/** The matrices of a layer's feed-forward block, and its norm. */
export interface FeedForwardWeights {
  /** f32 [hidden] */
  readonly norm: Tensor;
  /** [2 · inner, hidden]: the rows that the activation is applied to, then those that it is multiplied with. */
  readonly gateUp: Tensor;
  /** f32 [2 · inner] */
  readonly gateUpBias?: Tensor;
  /** [outputs, inner] */
  readonly down: Tensor;
  /** f32 [outputs] */
  readonly downBias?: Tensor;
}

/** What `feedForward` computes besides the products: its norm, activation and residual. */
export interface FeedForwardOptions extends NormOptions {
  readonly activation: Activation;
  /** f32 [rows, outputs], added to the result. */
  readonly residual?: Tensor;
  /** As in `LinearOptions`. */
  readonly apart?: boolean;
}

/** How `matmul` takes its second operand, and how exact it has to be. */
export interface MatmulOptions {
  readonly transposeB?: boolean;
  /**
   * The operands may be rounded as those of `attention` are (to bf16, unless `info.compute` is 'f32'), where that is faster: for sums over many entries
   * that are estimates in any case. Default false.
   */
  readonly coarse?: boolean;
}

/** Which rows `covariance` is of. */
export interface CovarianceOptions {
  readonly heads: number;
  /** Rows before it are left out. Default 0. */
  readonly first?: number;
}

/** What `covariance` returns. */
export interface Moments {
  /** f32 [heads, headDim] */
  readonly mean: Tensor;
  /** f32 [heads, headDim, headDim] */
  readonly covariance: Tensor;
}

/** Σ |x| or √Σ x². */
export type ProjectedNorm = 'l1' | 'l2';

/** How one row of logits becomes a token. */
export interface SamplingRule {
  /** 0 is greedy (ties: lowest id). */
  readonly temperature: number;
  /** Keep the k most likely (equal logits: lower id first); 0 means all. */
  readonly topK: number;
  /** Then the smallest set of the most likely whose probabilities (among the k, at the temperature) sum to at least p; 1 means all. */
  readonly topP: number;
  /** Then those with probability ≥ minP × the largest; 0 means all. */
  readonly minP: number;
  /** Uniform number in (0, 1) that decides: shares of it go to what is kept, most likely first. */
  readonly uniform: number;
}

/** In the order of their codes in native backends. */
export const unaryOps = ['exp', 'log', 'sqrt', 'abs', 'neg', 'square', 'reciprocal', 'floor', 'isfinite'] as const;
/** An op on each element. */
export type UnaryOp = (typeof unaryOps)[number];
/** In the order of their codes in native backends. */
export const binaryOps = ['add', 'sub', 'mul', 'div', 'max', 'min', 'less'] as const;
/** An op on pairs of elements. */
export type BinaryOp = (typeof binaryOps)[number];
/** What becomes of the elements along an axis. */
export type ReduceOp = 'sum' | 'mean' | 'max' | 'min' | 'variance';

/** Protection and quota of a top-k selection. */
export interface TopOptions {
  /** Entries to keep per head, protected ones included: one number, or i32 [kvHeads] with their sum and upper bound. */
  readonly keep: number | { readonly counts: Tensor; readonly total: number; readonly max: number };
  /** The first entries of each head are kept whatever their score. Default 0. */
  readonly protectFirst?: number;
  /** The last entries of each head likewise. Default 0. */
  readonly protectLast?: number;
  /** f32 [kvHeads, n]: entries where it is not 0 are kept likewise. */
  readonly protect?: Tensor;
}
