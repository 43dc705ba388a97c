import type { DType, KvType } from './dtype.js';
import type { Formula, Reduction } from './formula.js';
import type { AttentionSegment, KvView, Selection } from './kv.js';
import type {
  Activation,
  AttentionOptions,
  AttentionResult,
  BinaryOp,
  ColumnOptions,
  ColumnStatistic,
  CovarianceOptions,
  FeedForwardOptions,
  FeedForwardWeights,
  LinearOptions,
  MatmulOptions,
  Moments,
  NormOptions,
  ProjectedNorm,
  ReduceOp,
  RopeOptions,
  SamplingRule,
  TopOptions,
  UnaryOp,
} from './op-options.js';
import type { RandomKey } from './random.js';
import type { Shape } from './shape.js';
import type { HostArray, StoredTensor, Tensor, WeightRole } from './tensor.js';

/** Bytes held by tensors of a backend, as its allocator counts them in stream order. Mapped weight files are not in it. */
export interface MemoryUse {
  readonly bytes: number;
  /** Largest `bytes` since creation or the last `resetPeak`. */
  readonly peakBytes: number;
  /** Part of `bytes` that `load` made: repacked or converted weights. */
  readonly weightBytes: number;
}

/** A moment of a stream: everything that was enqueued before has run. */
export interface StreamMark {
  /** On the stream's own clock, which starts anywhere: what the host does meanwhile does not delay it. */
  readonly seconds: number;
  /** What its tensors held then. */
  readonly memory: MemoryUse;
}

/** Size of the chunks in which a layer reads a prompt: enough to use the whole device, few enough that an abort soon takes effect. */
export interface ChunkSize {
  /** Most token rows. */
  readonly rows: number;
  /** Most multiply-adds with the weights of a layer. */
  readonly work: number;
}

/** What a backend is and how it computes: what results must be read with. */
export interface BackendInfo {
  readonly name: 'reference' | 'cpu' | 'cuda' | (string & {});
  /** What computes: kernel path, device; the same for any number of threads. Goes into manifests. */
  readonly description: string;
  readonly threads: number;
  /** 'f32': products in float32 (float64 in the reference). 'int8': activations quantised per block for integer dot products. */
  readonly compute: 'f32' | 'int8' | 'bf16';
  /** Bytes that weights and tensors may take, as far as the backend could tell when it was made. */
  readonly memoryBytes?: number;
  /** `feedForward` and `projectedNorms` come from other ops: products exist as a whole, the projection in f32. Memory to count with. */
  readonly wholeProducts?: boolean;
  /** Bytes of f32 that a pass over entries best takes at a time: what stays near the cores. Absent: 512 KiB. */
  readonly passBytes?: number;
  /** How much of a prompt the backend wants at once. Absent: what suits a few cores. */
  readonly chunk?: ChunkSize;
}

/** A recorded sequence of ops, run again with whatever its input tensors hold then. */
export interface Program extends Disposable {
  /** Enqueues the recorded ops again. */
  run(): void;
  /** Frees the recording and the tensors that were made in it. */
  dispose(): void;
}

/**
 * Everything that computes. Ops validate their arguments at once (`shape_mismatch`, `dtype_mismatch`, `disposed`, `invalid_argument`), enqueue and
 * return; they run in submission order off the JavaScript thread. Activations are f32 row matrices [rows, columns], token rows of a batch packed
 * back to back. Ops never modify their inputs, except `write`, `writeRows`, `kvAppend`, `kvGather`, `kvCompact`, `kvReplace` and the `columnSums` of `attention`.
 */
export interface Backend extends AsyncDisposable {
  readonly info: BackendInfo;

  // Memory and stream
  /** Copies host data in. @throws `shape_mismatch` where the data do not fill the shape */
  upload(data: HostArray, dtype: DType, shape: Shape): Tensor;
  /** Uninitialised memory. */
  empty(dtype: DType, shape: Shape): Tensor;
  /** Replaces the contents of a tensor in stream order. Host data are copied at the call; a tensor of the same dtype and shape when its turn comes. */
  write(tensor: Tensor, data: HostArray | Tensor): void;
  /** Copies the rows of `data` over those of `tensor` from `row` on, in stream order. */
  writeRows(tensor: Tensor, row: number, data: Tensor): void;
  /** Makes a weight from a file. Several sources with equal columns are stacked by rows and may differ in dtype. Mapped where possible. */
  load(sources: StoredTensor | readonly StoredTensor[], role: WeightRole): Promise<Tensor>;
  /** f32 [rows, columns] values of a weight. */
  dequantize(weight: Tensor): Tensor;
  /** Same elements under another shape; shares the memory. */
  reshape(x: Tensor, shape: Shape): Tensor;
  /** Resolves when every op enqueued so far has run; rejects with the first error since the last call. */
  finish(): Promise<StreamMark>;
  /** Bytes in use, and the most since the last `resetPeak`. */
  memory(): MemoryUse;
  /** Sets the peak to the bytes in use, in stream order. */
  resetPeak(): void;
  /** Records the ops that `build` enqueues instead of running them; tensors made inside live as long as the program. Absent: not supported. */
  record?(build: () => void): Program;
  /**
   * The same backend with new memory and weights where the part of a model belongs that begins at this share of its layers (0 … 1). Present where a
   * backend is spread over several devices. Ops take tensors of all places.
   */
  place?(share: number): Backend;
  /** Stops the stream and frees everything; later calls throw `disposed`. */
  dispose(): Promise<void>;

  // Model
  /** Rows `ids` (i32 [n]) of an embedding, times `scale`: f32 [n, columns]. Ids out of range fail the stream with `invalid_argument`. */
  embedding(table: Tensor, ids: Tensor, scale?: number): Tensor;
  /** x · weight / √(mean(x²) + ε) over the last axis. weight: f32 [columns]. */
  rmsNorm(x: Tensor, weight: Tensor, options: NormOptions): Tensor;
  /** x · Wᵀ (+ bias) (+ residual): [rows, inputs] → f32 [rows, outputs]. */
  linear(x: Tensor, weight: Tensor, options?: LinearOptions): Tensor;
  /**
   * `rmsNorm`, `linear` with `gateUp`, `gated` and `linear` with `down`, one after the other; what lies between them need not exist as a whole, nor in
   * f32 where `linear` would round it: [rows, hidden] → f32 [rows, outputs].
   */
  feedForward(x: Tensor, weights: FeedForwardWeights, options: FeedForwardOptions): Tensor;
  /**
   * How large what each query head makes of each value of its KV head is: the norm of value · W[:, columns of the head]ᵀ over all outputs, which exists
   * only in pieces. values f32 [kvHeads, n, headDim], weight [outputs, queryHeads · headDim]: f32 [queryHeads, n].
   */
  projectedNorms(values: Tensor, weight: Tensor, norm: ProjectedNorm): Tensor;
  /** act(x[:, :half]) · x[:, half:]: [rows, 2 · half] → [rows, half]. */
  gated(x: Tensor, activation: Activation): Tensor;
  /** cap · tanh(x / cap). */
  softcap(x: Tensor, cap: number): Tensor;
  /** Cuts the columns of a matrix into pieces of the given widths. */
  splitColumns(x: Tensor, widths: readonly number[]): Tensor[];
  /** Rotates [rows, heads · headDim] to the positions i32 [rows]; pairs are (c, c + rotary / 2). Angles in float64 or as exact. */
  rope(x: Tensor, positions: Tensor, options: RopeOptions): Tensor;
  /** Next token of each row of logits [rows, vocabulary] (NaN counts as −∞): ids i32 [rows], natural-log probabilities (of the unmodified logits) f32 [rows]. */
  sample(logits: Tensor, rules: readonly SamplingRule[]): { ids: Tensor; logProbs: Tensor };

  // Cache
  /** Writes the rows of k and v (f32 [rows, kvHeads · headDim], packed over the segments) behind the entries of each view and lengthens it. `positions`: i32 [rows], stored where a view keeps positions. */
  kvAppend(segments: readonly AttentionSegment[], k: Tensor, v: Tensor, positions: Tensor): void;
  /** Copies the selected entries of `from` into the empty view `to`, in order, and sets its lengths. 'all' copies every entry. */
  kvGather(from: KvView, selection: Selection | 'all', to: KvView): void;
  /** Moves the selected entries of each head, ascending, to its slots 0, 1, … where they lie, and sets its lengths. */
  kvCompact(view: KvView, selection: Selection): void;
  /** Keys or values of a uniform view as f32 [kvHeads, n, headDim], or of its entries `start` … `end` − 1. */
  kvRead(view: KvView, part: 'keys' | 'values', start?: number, end?: number): Tensor;
  /** Overwrites the keys or values of a uniform view with f32 [kvHeads, n, headDim] (re-rotation, merging). */
  kvReplace(view: KvView, part: 'keys' | 'values', x: Tensor): void;
  /** Softmax attention of packed query rows f32 [rows, queryHeads · headDim], causal to the end of each view: row i of m sees entries 0 … length − m + i of each head. */
  attention(q: Tensor, segments: readonly AttentionSegment[], options: AttentionOptions): AttentionResult;

  // Scores and selection
  /** Σ or max over query rows [m, queryHeads · headDim] of the probability of each key of a uniform view: f32 [queryHeads, n]. Never holds an m × n matrix. */
  attentionColumns(q: Tensor, view: KvView, statistic: ColumnStatistic, options: ColumnOptions): Tensor;
  /** The probabilities themselves for few rows: f32 [queryHeads, m, n]; entries that a row does not see are 0. */
  attentionRows(q: Tensor, view: KvView, options: ColumnOptions): Tensor;
  /** Pooling along the last axis, stride 1, odd kernel; 'average' pads zeros and divides by the kernel size, 'max' pads −∞. */
  pool(x: Tensor, kernelSize: number, kind: 'average' | 'max'): Tensor;
  /**
   * Best entries per head of scores f32 [kvHeads, n] in the canonical order: higher first, equal scores lower index first, NaN as −∞. Counts that do
   * not sum to their total, or more protected entries than a head may keep, fail the stream with `invalid_argument`.
   */
  top(scores: Tensor, options: TopOptions): Selection;
  /** How many of the `total` best of all heads' scores [kvHeads, n] each head has (order: score, head, index): i32 [kvHeads]. */
  topShares(scores: Tensor, total: number): Tensor;
  /**
   * Integers that sum to `total`, nearest to the shares f32 [k] by largest remainder (ties: lower index), none below 0 or above `cap`: i32 [k]. Where
   * the shares do not sum to the total, rounds of one go up by falling or down by rising remainder.
   */
  roundShares(shares: Tensor, total: number, cap: number): Tensor;
  /** Selection from explicit indices i32 [total] and offsets i32 [kvHeads + 1], both known to the host. */
  selection(indices: Int32Array, offsets: Int32Array): Selection;
  /** Uniform numbers in (0, 1), `uniformAt(key, row, index)`: f32 [rows, columns]. */
  uniform(key: RandomKey, rows: number, columns: number): Tensor;

  // Algebra on f32 tensors of up to 4 axes
  /** The op on each element. Result of the shape of x. */
  map(x: Tensor, op: UnaryOp): Tensor;
  /** Broadcasts as NumPy does. 'less' gives 1 or 0. */
  zip(a: Tensor, b: Tensor | number, op: BinaryOp): Tensor;
  /** Reduces one axis away (negative counts from the end). 'variance' divides by n − 1. */
  reduce(x: Tensor, axis: number, op: ReduceOp): Tensor;
  /**
   * A formula over f32 tensors, element by element and broadcast as in `zip`, then reduced along one of the last two axes if asked: what `map`, `zip` and
   * `reduce` give one after the other, without the tensors in between. @throws `invalid_argument` for a formula without an op
   */
  evaluate(formula: Formula, reduction?: Reduction): Tensor;
  /** Over the last axis, maximum subtracted. */
  softmax(x: Tensor): Tensor;
  /** Running sums along the last axis. */
  cumsum(x: Tensor): Tensor;
  /** Position of each element in ascending order of its row (last axis; ties: lower index first; NaN last), as f32. */
  rank(x: Tensor): Tensor;
  /** [..., i, k] × [..., k, j] with leading axes broadcast; `transposeB` takes b as [..., j, k]. b may be f16 or bf16, as entries are stored. */
  matmul(a: Tensor, b: Tensor, options?: MatmulOptions): Tensor;
  /**
   * Mean and population covariance of the rows of x [rows, heads · headDim] from `first` on, for each head. Differences from the mean may be rounded as
   * with `coarse`.
   */
  covariance(x: Tensor, options: CovarianceOptions): Moments;
  /** Elements start … end − 1 along an axis, copied. */
  slice(x: Tensor, axis: number, start: number, end: number): Tensor;
  /** Parts of one dtype one after the other along an axis, copied. */
  concat(parts: readonly Tensor[], axis: number): Tensor;
  /** Axes in a new order, copied. */
  transpose(x: Tensor, order: readonly number[]): Tensor;
  /** f32 from any element type (i32, u8, f16, bf16). */
  toFloat(x: Tensor): Tensor;
  /** i32 from f32, fraction dropped; NaN becomes 0 and what does not fit the nearest end. */
  toInt(x: Tensor): Tensor;
}

/** Storage type and backend of a cache: what layouts are created with. */
export interface KvStorage {
  readonly backend: Backend;
  readonly dtype: KvType;
}
