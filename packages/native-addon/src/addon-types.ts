import type { MemoryUse, StreamMark } from '@kvsift/tensor';

/** A tensor of the addon: a number that is never used twice; 0 stands for none. */
export type TensorId = number;

/** Makes the error that the addon throws or rejects with. `wanted` and `available` are bytes, 0 where it is not about memory. */
export type ErrorFactory = (
  code: string,
  message: string,
  op: string,
  wanted?: number,
  available?: number,
  held?: number,
) => Error;

/** `StoredTensor` as the addon reads it. */
export interface NativeSource {
  readonly name: string;
  readonly path: string;
  readonly dtype: string;
  readonly shape: Float64Array;
  readonly byteOffset: number;
  readonly byteLength: number;
  readonly rowOrder: Int32Array | undefined;
}

/**
 * The stream of the addon. Every method checks all of its arguments itself, enqueues and returns; lists of numbers come as Float64Array. Views are
 * 11 numbers and segments 12, see `kv-numbers.ts`.
 */
export interface NativeBackend {
  upload(dtype: string, shape: Float64Array, data: ArrayBufferView): TensorId;
  empty(dtype: string, shape: Float64Array): TensorId;
  write(x: TensorId, data: ArrayBufferView): void;
  assign(x: TensorId, data: TensorId): void;
  writeRows(x: TensorId, row: number, data: TensorId): void;
  /** Copies tensor `data` of another backend of this addon over `x`. */
  receive(x: TensorId, from: NativeBackend, data: TensorId): void;
  reshape(x: TensorId, shape: Float64Array): TensorId;
  release(x: TensorId): void;
  read(x: TensorId): Promise<ArrayBuffer>;
  finish(): Promise<StreamMark>;
  memory(): MemoryUse;
  resetPeak(): void;
  load(sources: readonly NativeSource[], role: string): { readonly tensor: TensorId; readonly done: Promise<void> };
  dequantize(weight: TensorId): TensorId;
  beginRecording(): void;
  /** Number of the program. */
  endRecording(): number;
  runProgram(program: number): void;
  releaseProgram(program: number): void;
  /** Every later call throws `disposed`. */
  dispose(): Promise<void>;

  embedding(table: TensorId, ids: TensorId, scale: number): TensorId;
  rmsNorm(x: TensorId, weight: TensorId, epsilon: number, weightOffset: number): TensorId;
  linear(x: TensorId, weight: TensorId, bias: TensorId, residual: TensorId, apart: boolean): TensorId;
  feedForward(
    x: TensorId,
    norm: TensorId,
    gateUp: TensorId,
    gateUpBias: TensorId,
    down: TensorId,
    downBias: TensorId,
    residual: TensorId,
    epsilon: number,
    weightOffset: number,
    activation: string,
    apart: boolean,
  ): TensorId;
  projectedNorms(values: TensorId, weight: TensorId, norm: string): TensorId;
  gated(x: TensorId, activation: string): TensorId;
  softcap(x: TensorId, cap: number): TensorId;
  splitColumns(x: TensorId, widths: Float64Array): TensorId[];
  rope(x: TensorId, positions: TensorId, heads: number, inverseFrequencies: TensorId, scale: number): TensorId;
  /** Five numbers a rule: temperature, topK, topP, minP, uniform. */
  sample(logits: TensorId, rules: Float64Array): [ids: TensorId, logProbs: TensorId];

  kvAppend(segments: Float64Array, k: TensorId, v: TensorId, positions: TensorId): void;
  kvGather(from: Float64Array, to: Float64Array, indices: TensorId, offsets: TensorId): void;
  kvCompact(view: Float64Array, indices: TensorId, offsets: TensorId): void;
  kvRead(view: Float64Array, part: string, start: number, end: number): TensorId;
  kvReplace(view: Float64Array, part: string, x: TensorId): void;
  /** `softcap` and `window` 0: none. */
  attention(
    q: TensorId,
    segments: Float64Array,
    queryHeads: number,
    scale: number,
    softcap: number,
    window: number,
    positions: TensorId,
    logSumExp: boolean,
    columnSums: TensorId,
  ): [output: TensorId, logSumExp?: TensorId];
  attentionColumns(q: TensorId, view: Float64Array, statistic: string, ...options: NativeColumnOptions): TensorId;
  attentionRows(q: TensorId, view: Float64Array, ...options: NativeColumnOptions): TensorId;

  map(x: TensorId, op: string): TensorId;
  zip(a: TensorId, b: TensorId, op: string): TensorId;
  zipNumber(a: TensorId, b: number, op: string): TensorId;
  reduce(x: TensorId, axis: number, op: string): TensorId;
  /** Steps are four numbers each: code of the op (unary ones first), operand, 0 none, 1 an operand or 2 a number, and that one. `axis` −1 reduces nothing. */
  evaluate(tensors: Float64Array, steps: Float64Array, axis: number, op: string): TensorId;
  softmax(x: TensorId): TensorId;
  cumsum(x: TensorId): TensorId;
  rank(x: TensorId): TensorId;
  toFloat(x: TensorId): TensorId;
  toInt(x: TensorId): TensorId;
  pool(x: TensorId, kernelSize: number, kind: string): TensorId;
  covariance(x: TensorId, heads: number, first: number): [mean: TensorId, covariance: TensorId];
  matmul(a: TensorId, b: TensorId, transposeB: boolean, coarse: boolean): TensorId;
  slice(x: TensorId, axis: number, start: number, end: number): TensorId;
  concat(parts: Float64Array, axis: number): TensorId;
  transpose(x: TensorId, order: Float64Array): TensorId;
  top(
    scores: TensorId,
    counts: TensorId,
    keep: number,
    total: number,
    max: number,
    protectFirst: number,
    protectLast: number,
    protect: TensorId,
  ): [indices: TensorId, offsets: TensorId];
  topShares(scores: TensorId, total: number): TensorId;
  roundShares(shares: TensorId, total: number, cap: number): TensorId;
  uniform(seed: number, sequence: number, layer: number, purpose: number, rows: number, columns: number): TensorId;
}

export type NativeColumnOptions = [
  queryHeads: number,
  scale: number,
  softcap: number,
  window: number,
  positions: TensorId,
  mask: string,
  behind: number,
  logSumExp: TensorId,
];
