import * as t from '@kvsift/tensor';
import { AddonStream } from './addon-stream.js';
import type { NativeBackend, NativeColumnOptions, TensorId } from './addon-types.js';
import { stepNumbersOf } from './formula-numbers.js';
import { segmentNumbersOf, viewNumbersOf } from './kv-numbers.js';

/** The Backend contract over the addon: checks arguments, enqueues, and returns handles. */
export class AddonBackend extends AddonStream implements t.Backend {
  constructor(
    native: NativeBackend,
    readonly info: t.BackendInfo,
  ) {
    super(native);
  }

  embedding(table: t.Tensor, ids: t.Tensor, scale = 1): t.Tensor {
    return this.#floats(t.checkEmbedding(table, ids), this.native.embedding(this.id(table), this.id(ids), scale));
  }

  rmsNorm(x: t.Tensor, weight: t.Tensor, options: t.NormOptions): t.Tensor {
    const shape = t.checkRmsNorm(x, weight, options);
    return this.#floats(shape, this.native.rmsNorm(this.id(x), this.id(weight), options.epsilon, options.weightOffset ?? 0));
  }

  linear(x: t.Tensor, weight: t.Tensor, options: t.LinearOptions = {}): t.Tensor {
    const shape = t.checkLinear(x, weight, options);
    const { bias, residual, apart = false } = options;
    const added = [this.#maybe(bias), this.#maybe(residual)] as const;
    return this.#floats(shape, this.native.linear(this.id(x), this.id(weight), ...added, apart));
  }

  feedForward(x: t.Tensor, weights: t.FeedForwardWeights, options: t.FeedForwardOptions): t.Tensor {
    const shape = t.checkFeedForward(x, weights, options);
    const { norm, gateUp, gateUpBias, down, downBias } = weights;
    const { residual, epsilon, weightOffset = 0, activation, apart = false } = options;
    const tensors = [
      this.id(norm),
      this.id(gateUp),
      this.#maybe(gateUpBias),
      this.id(down),
      this.#maybe(downBias),
      this.#maybe(residual),
    ] as const;
    return this.#floats(shape, this.native.feedForward(this.id(x), ...tensors, epsilon, weightOffset, activation, apart));
  }

  projectedNorms(values: t.Tensor, weight: t.Tensor, norm: t.ProjectedNorm): t.Tensor {
    return this.#floats(
      t.checkProjectedNorms(values, weight),
      this.native.projectedNorms(this.id(values), this.id(weight), norm),
    );
  }

  gated(x: t.Tensor, activation: t.Activation): t.Tensor {
    return this.#floats(t.checkGated(x), this.native.gated(this.id(x), activation));
  }

  softcap(x: t.Tensor, cap: number): t.Tensor {
    return this.#floats(t.checkSoftcap(x, cap), this.native.softcap(this.id(x), cap));
  }

  splitColumns(x: t.Tensor, widths: readonly number[]): t.Tensor[] {
    const shapes = t.checkSplitColumns(x, widths);
    const ids = this.native.splitColumns(this.id(x), Float64Array.from(widths));
    return ids.map((id, index) => this.#floats(shapes[index] ?? [], id));
  }

  rope(x: t.Tensor, positions: t.Tensor, options: t.RopeOptions): t.Tensor {
    const shape = t.checkRope(x, positions, options);
    const { heads, inverseFrequencies, scale = 1 } = options;
    return this.#floats(shape, this.native.rope(this.id(x), this.id(positions), heads, this.id(inverseFrequencies), scale));
  }

  sample(logits: t.Tensor, rules: readonly t.SamplingRule[]): { ids: t.Tensor; logProbs: t.Tensor } {
    const rows = t.checkSample(logits, rules);
    const numbers = rules.flatMap(({ temperature, topK, topP, minP, uniform }) => [temperature, topK, topP, minP, uniform]);
    const [ids, logProbs] = this.native.sample(this.id(logits), Float64Array.from(numbers));
    return { ids: this.hold(ids, 'i32', [rows]), logProbs: this.#floats([rows], logProbs) };
  }

  kvAppend(segments: readonly t.AttentionSegment[], k: t.Tensor, v: t.Tensor, positions: t.Tensor): void {
    t.checkKvAppend(segments, k, v, positions);
    this.native.kvAppend(segmentNumbersOf(segments, this.id), this.id(k), this.id(v), this.id(positions));
  }

  kvGather(from: t.KvView, selection: t.Selection | 'all', to: t.KvView): void {
    t.checkKvGather(from, selection, to);
    const [indices, offsets] = selection === 'all' ? [0, 0] : [this.id(selection.indices), this.id(selection.offsets)];
    this.native.kvGather(viewNumbersOf(from, this.id), viewNumbersOf(to, this.id), indices, offsets);
  }

  kvCompact(view: t.KvView, selection: t.Selection): void {
    t.checkKvCompact(view, selection);
    this.native.kvCompact(viewNumbersOf(view, this.id), this.id(selection.indices), this.id(selection.offsets));
  }

  kvRead(view: t.KvView, part: 'keys' | 'values', start = 0, end = view.maxLength): t.Tensor {
    return this.#floats(t.checkKvRead(view, start, end), this.native.kvRead(viewNumbersOf(view, this.id), part, start, end));
  }

  kvReplace(view: t.KvView, part: 'keys' | 'values', x: t.Tensor): void {
    t.checkKvReplace(view, x);
    this.native.kvReplace(viewNumbersOf(view, this.id), part, this.id(x));
  }

  attention(q: t.Tensor, segments: readonly t.AttentionSegment[], options: t.AttentionOptions): t.AttentionResult {
    const shape = t.checkAttention(q, segments, options);
    const { queryHeads, scale, softcap = 0, window = 0, positions, logSumExp = false, columnSums } = options;
    const [output, lse] = this.native.attention(
      this.id(q),
      segmentNumbersOf(segments, this.id),
      queryHeads,
      scale,
      softcap,
      window,
      this.#maybe(positions),
      logSumExp,
      this.#maybe(columnSums),
    );
    return {
      output: this.#floats(shape, output),
      ...(lse !== undefined && { logSumExp: this.#floats([shape[0] ?? 0, queryHeads], lse) }),
    };
  }

  attentionColumns(q: t.Tensor, view: t.KvView, statistic: t.ColumnStatistic, options: t.ColumnOptions): t.Tensor {
    const shape = t.checkColumns('attentionColumns', q, view, options);
    const numbers = viewNumbersOf(view, this.id);
    return this.#floats(shape, this.native.attentionColumns(this.id(q), numbers, statistic, ...this.#columns(options)));
  }

  attentionRows(q: t.Tensor, view: t.KvView, options: t.ColumnOptions): t.Tensor {
    const [heads = 0, length = 0] = t.checkColumns('attentionRows', q, view, options);
    const id = this.native.attentionRows(this.id(q), viewNumbersOf(view, this.id), ...this.#columns(options));
    return this.#floats([heads, q.shape[0] ?? 0, length], id);
  }

  pool(x: t.Tensor, kernelSize: number, kind: 'average' | 'max'): t.Tensor {
    return this.#floats(t.checkPool(x, kernelSize), this.native.pool(this.id(x), kernelSize, kind));
  }

  top(scores: t.Tensor, options: t.TopOptions): t.Selection {
    const { total, max } = t.checkTop(scores, options);
    const { keep, protectFirst = 0, protectLast = 0, protect } = options;
    const uniform = typeof keep === 'number';
    const [indices, offsets] = this.native.top(
      this.id(scores),
      uniform ? 0 : this.id(keep.counts),
      uniform ? keep : 0,
      total,
      max,
      protectFirst,
      protectLast,
      this.#maybe(protect),
    );
    return {
      indices: this.hold(indices, 'i32', [total]),
      offsets: this.hold(offsets, 'i32', [(scores.shape[0] ?? 0) + 1]),
      total,
      ...(uniform && { perHead: keep }),
      maxPerHead: max,
    };
  }

  topShares(scores: t.Tensor, total: number): t.Tensor {
    const shape = t.checkTopShares(scores, total);
    return this.hold(this.native.topShares(this.id(scores), total), 'i32', shape);
  }

  roundShares(shares: t.Tensor, total: number, cap: number): t.Tensor {
    const shape = t.checkRoundShares(shares, total, cap);
    return this.hold(this.native.roundShares(this.id(shares), total, cap), 'i32', shape);
  }

  selection(indices: Int32Array, offsets: Int32Array): t.Selection {
    const { perHead, max } = t.checkHostSelection(indices, offsets);
    return {
      indices: this.upload(indices, 'i32', [indices.length]),
      offsets: this.upload(offsets, 'i32', [offsets.length]),
      total: indices.length,
      ...(perHead !== undefined && { perHead }),
      maxPerHead: max,
    };
  }

  uniform(key: t.RandomKey, rows: number, columns: number): t.Tensor {
    this.demandAlive();
    const shape = t.checkUniformNumbers(key, rows, columns);
    return this.#floats(shape, this.native.uniform(key.seed, key.sequence, key.layer, key.purpose, rows, columns));
  }

  map(x: t.Tensor, op: t.UnaryOp): t.Tensor {
    return this.#floats(t.checkMap('map', x), this.native.map(this.id(x), op));
  }

  zip(a: t.Tensor, b: t.Tensor | number, op: t.BinaryOp): t.Tensor {
    const shape = t.checkZip(a, b);
    const { native } = this;
    const id = typeof b === 'number' ? native.zipNumber(this.id(a), b, op) : native.zip(this.id(a), this.id(b), op);
    return this.#floats(shape, id);
  }

  reduce(x: t.Tensor, axis: number, op: t.ReduceOp): t.Tensor {
    const checked = t.checkReduce(x, axis);
    return this.#floats(checked.shape, this.native.reduce(this.id(x), checked.axis, op));
  }

  evaluate(formula: t.Formula, reduction?: t.Reduction): t.Tensor {
    const { tensors, steps, shape, axis = -1 } = t.checkEvaluate(formula, reduction);
    const ids = new Float64Array(tensors.length);
    for (const [index, tensor] of tensors.entries()) ids[index] = this.id(tensor);
    return this.#floats(shape, this.native.evaluate(ids, stepNumbersOf(steps), axis, reduction?.op ?? 'sum'));
  }

  softmax(x: t.Tensor): t.Tensor {
    return this.#floats(t.checkLastAxis('softmax', x), this.native.softmax(this.id(x)));
  }

  cumsum(x: t.Tensor): t.Tensor {
    return this.#floats(t.checkLastAxis('cumsum', x), this.native.cumsum(this.id(x)));
  }

  rank(x: t.Tensor): t.Tensor {
    return this.#floats(t.checkLastAxis('rank', x), this.native.rank(this.id(x)));
  }

  matmul(a: t.Tensor, b: t.Tensor, { transposeB = false, coarse = false }: t.MatmulOptions = {}): t.Tensor {
    return this.#floats(t.checkMatmul(a, b, transposeB), this.native.matmul(this.id(a), this.id(b), transposeB, coarse));
  }

  covariance(x: t.Tensor, options: t.CovarianceOptions): t.Moments {
    const [mean, covariance] = t.checkCovariance(x, options);
    const ids = this.native.covariance(this.id(x), options.heads, options.first ?? 0);
    return { mean: this.#floats(mean, ids[0]), covariance: this.#floats(covariance, ids[1]) };
  }

  slice(x: t.Tensor, axis: number, start: number, end: number): t.Tensor {
    const checked = t.checkSlice(x, axis, start, end);
    return this.hold(this.native.slice(this.id(x), checked.axis, start, end), x.dtype, checked.shape);
  }

  concat(parts: readonly t.Tensor[], axis: number): t.Tensor {
    const checked = t.checkConcat(parts, axis);
    const id = this.native.concat(Float64Array.from(parts, this.id), checked.axis);
    return this.hold(id, parts[0]?.dtype ?? 'f32', checked.shape);
  }

  transpose(x: t.Tensor, order: readonly number[]): t.Tensor {
    const shape = t.checkTranspose(x, order);
    return this.hold(this.native.transpose(this.id(x), Float64Array.from(order)), x.dtype, shape);
  }

  toFloat(x: t.Tensor): t.Tensor {
    return this.#floats(t.checkToFloat(x), this.native.toFloat(this.id(x)));
  }

  toInt(x: t.Tensor): t.Tensor {
    const shape = t.checkMap('toInt', x);
    return this.hold(this.native.toInt(this.id(x)), 'i32', shape);
  }

  #floats(shape: t.Shape, id: TensorId): t.Tensor {
    return this.hold(id, 'f32', shape);
  }

  #maybe(x: t.Tensor | undefined): TensorId {
    return x === undefined ? 0 : this.id(x);
  }

  #columns(options: t.ColumnOptions): NativeColumnOptions {
    const { queryHeads, scale, softcap = 0, window = 0, positions, mask, behind = 0, logSumExp } = options;
    return [queryHeads, scale, softcap, window, this.#maybe(positions), mask, behind, this.#maybe(logSumExp)];
  }
}
