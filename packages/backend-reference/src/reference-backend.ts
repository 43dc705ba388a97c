import * as t from '@kvsift/tensor';
import { floats, integers, storageOf } from './host-tensor.js';
import * as algebra from './ops/algebra.js';
import * as attention from './ops/attention.js';
import * as kv from './ops/kv.js';
import * as model from './ops/model.js';
import * as scores from './ops/scores.js';
import { weightValues } from './ops/weight.js';
import { ReferenceStream } from './reference-stream.js';

const given = (...tensors: readonly (t.Tensor | undefined)[]): t.Tensor[] => tensors.filter((x) => x !== undefined);

/** Computes every op at once, in the order of the calls, on the calling thread. */
class ReferenceBackend extends ReferenceStream implements t.Backend {
  readonly info: t.BackendInfo = {
    name: 'reference',
    description: 'plain TypeScript, float64 accumulation',
    threads: 1,
    compute: 'f32',
  };

  embedding(table: t.Tensor, ids: t.Tensor, scale = 1): t.Tensor {
    const shape = t.checkEmbedding(table, ids);
    const [rows = 0, columns = 0] = table.shape;
    return this.floatOp('embedding', [table, ids], shape, (out) => {
      const wrong = integers(ids).find((id) => id < 0 || id >= rows);
      if (wrong !== undefined) {
        const sentence = `embedding: id ${wrong} is not in a table of ${rows} rows`;
        throw new t.KvsiftError('invalid_argument', sentence, { op: 'embedding' });
      }
      model.embedding(weightValues(table), columns, integers(ids), scale, out);
    });
  }

  rmsNorm(x: t.Tensor, weight: t.Tensor, options: t.NormOptions): t.Tensor {
    const shape = t.checkRmsNorm(x, weight, options);
    return this.floatOp('rmsNorm', [x, weight], shape, (out) => model.rmsNorm(floats(x), floats(weight), options, out));
  }

  linear(x: t.Tensor, weight: t.Tensor, options: t.LinearOptions = {}): t.Tensor {
    const shape = t.checkLinear(x, weight, options);
    const { bias, residual } = options;
    const [rows = 0, outputs = 0] = shape;
    return this.floatOp('linear', given(x, weight, bias, residual), shape, (out) => {
      const [added, kept] = [bias && floats(bias), residual && floats(residual)];
      model.linear(floats(x), weightValues(weight), rows, outputs, weight.shape[1] ?? 0, added, kept, out);
    });
  }

  feedForward(x: t.Tensor, weights: t.FeedForwardWeights, options: t.FeedForwardOptions): t.Tensor {
    t.checkFeedForward(x, weights, options);
    const { norm, gateUp, gateUpBias, down, downBias } = weights;
    using normed = this.rmsNorm(x, norm, options);
    using halves = this.linear(normed, gateUp, { ...(gateUpBias && { bias: gateUpBias }) });
    using middle = this.gated(halves, options.activation);
    const { residual } = options;
    return this.linear(middle, down, { ...(downBias && { bias: downBias }), ...(residual && { residual }) });
  }

  projectedNorms(values: t.Tensor, weight: t.Tensor, norm: t.ProjectedNorm): t.Tensor {
    return this.floatOp('projectedNorms', [values, weight], t.checkProjectedNorms(values, weight), (out) =>
      model.projectedNorms(floats(values), values.shape, weightValues(weight), weight.shape, norm, out),
    );
  }

  gated(x: t.Tensor, activation: t.Activation): t.Tensor {
    const shape = t.checkGated(x);
    return this.floatOp('gated', [x], shape, (out) => model.gated(floats(x), shape[1] ?? 0, activation, out));
  }

  softcap(x: t.Tensor, cap: number): t.Tensor {
    return this.floatOp('softcap', [x], t.checkSoftcap(x, cap), (out) => model.softcap(floats(x), cap, out));
  }

  splitColumns(x: t.Tensor, widths: readonly number[]): t.Tensor[] {
    let start = 0;
    return t.checkSplitColumns(x, widths).map((shape, index) => {
      const [from, end] = [start, start + (widths[index] ?? 0)];
      start = end;
      return this.floatOp('splitColumns', [x], shape, (out) => algebra.slice(floats(x), x.shape, 1, from, end, out));
    });
  }

  rope(x: t.Tensor, positions: t.Tensor, options: t.RopeOptions): t.Tensor {
    const shape = t.checkRope(x, positions, options);
    const { heads, inverseFrequencies, scale = 1 } = options;
    const headDim = (x.shape[1] ?? 0) / heads;
    return this.floatOp('rope', [x, positions, inverseFrequencies], shape, (out) =>
      model.rope(floats(x), integers(positions), heads, headDim, floats(inverseFrequencies), scale, out),
    );
  }

  sample(logits: t.Tensor, rules: readonly t.SamplingRule[]): { ids: t.Tensor; logProbs: t.Tensor } {
    const rows = t.checkSample(logits, rules);
    const copies = rules.map((rule) => ({ ...rule }));
    const [ids, logProbs] = [this.make('i32', [rows]), this.make('f32', [rows])];
    this.enqueue('sample', [logits], [ids, logProbs], () => {
      const width = logits.shape[1] ?? 0;
      for (const [row, rule] of copies.entries()) {
        const [id, logProb] = model.sampleRow(floats(logits).subarray(row * width, (row + 1) * width), rule);
        integers(ids)[row] = id;
        floats(logProbs)[row] = logProb;
      }
    });
    return { ids, logProbs };
  }

  kvAppend(segments: readonly t.AttentionSegment[], k: t.Tensor, v: t.Tensor, positions: t.Tensor): void {
    t.checkKvAppend(segments, k, v, positions);
    const views = segments.map(({ view }) => view);
    this.enqueue('kvAppend', [k, v, positions, ...views.flatMap(kv.viewTensors)], views.flatMap(kv.viewContents), () => {
      let first = 0;
      for (const { view, rows } of segments) {
        kv.append(view, rows, floats(k), floats(v), integers(positions), first);
        first += rows;
      }
    });
  }

  kvGather(from: t.KvView, selection: t.Selection | 'all', to: t.KvView): void {
    t.checkKvGather(from, selection, to);
    const chosen = selection === 'all' ? [] : [selection.indices, selection.offsets];
    const places = given(to.starts, to.blocks?.table);
    this.enqueue('kvGather', [...kv.viewTensors(from), ...chosen, ...places], kv.viewContents(to), () =>
      kv.gather(from, selection, to),
    );
  }

  kvCompact(view: t.KvView, selection: t.Selection): void {
    t.checkKvCompact(view, selection);
    const inputs = [...kv.viewTensors(view), selection.indices, selection.offsets];
    this.enqueue('kvCompact', inputs, kv.viewContents(view), () => kv.compact(view, selection));
  }

  kvRead(view: t.KvView, part: 'keys' | 'values', start = 0, end = view.maxLength): t.Tensor {
    const shape = t.checkKvRead(view, start, end);
    return this.floatOp('kvRead', kv.viewTensors(view), shape, (out) => kv.readPart(view, part, start, end, out));
  }

  kvReplace(view: t.KvView, part: 'keys' | 'values', x: t.Tensor): void {
    t.checkKvReplace(view, x);
    this.enqueue('kvReplace', [x, ...kv.viewTensors(view)], [view[part]], () => kv.replacePart(view, part, floats(x)));
  }

  attention(q: t.Tensor, segments: readonly t.AttentionSegment[], options: t.AttentionOptions): t.AttentionResult {
    const shape = t.checkAttention(q, segments, options);
    const { positions, columnSums } = options;
    const output = this.make('f32', shape);
    const logSumExp = options.logSumExp ? this.make('f32', [shape[0] ?? 0, options.queryHeads]) : undefined;
    const inputs = given(q, positions, columnSums, ...segments.flatMap(({ view }) => kv.viewTensors(view)));
    this.enqueue('attention', inputs, given(output, logSumExp, columnSums), () => {
      const [at, lse] = [positions && integers(positions), logSumExp && floats(logSumExp)];
      let first = 0;
      for (const { view, rows } of segments) {
        attention.attention(floats(q), view, first, rows, options, at, floats(output), lse);
        if (columnSums) attention.addColumns(floats(q), view, rows, options, at, floats(columnSums), columnSums.shape[1] ?? 0);
        first += rows;
      }
    });
    return { output, ...(logSumExp && { logSumExp }) };
  }

  attentionColumns(q: t.Tensor, view: t.KvView, statistic: t.ColumnStatistic, options: t.ColumnOptions): t.Tensor {
    const shape = t.checkColumns('attentionColumns', q, view, options);
    const { positions, logSumExp } = options;
    return this.floatOp('attentionColumns', given(q, positions, logSumExp, ...kv.viewTensors(view)), shape, (out) => {
      const [at, lse] = [positions && integers(positions), logSumExp && floats(logSumExp)];
      attention.attentionColumns(floats(q), view, q.shape[0] ?? 0, statistic, options, at, lse, out);
    });
  }

  attentionRows(q: t.Tensor, view: t.KvView, options: t.ColumnOptions): t.Tensor {
    const [heads = 0, length = 0] = t.checkColumns('attentionRows', q, view, options);
    const { positions, logSumExp } = options;
    const rows = q.shape[0] ?? 0;
    const inputs = given(q, positions, logSumExp, ...kv.viewTensors(view));
    return this.floatOp('attentionRows', inputs, [heads, rows, length], (out) => {
      const [at, lse] = [positions && integers(positions), logSumExp && floats(logSumExp)];
      attention.attentionRows(floats(q), view, rows, options, at, lse, out);
    });
  }

  pool(x: t.Tensor, kernelSize: number, kind: 'average' | 'max'): t.Tensor {
    const shape = t.checkPool(x, kernelSize);
    return this.floatOp('pool', [x], shape, (out) => scores.pool(floats(x), shape.at(-1) ?? 1, kernelSize, kind, out));
  }

  top(x: t.Tensor, options: t.TopOptions): t.Selection {
    const { total, max } = t.checkTop(x, options);
    const [heads = 0, length = 0] = x.shape;
    const { keep, protect } = options;
    const [indices, offsets] = [this.make('i32', [total]), this.make('i32', [heads + 1])];
    const counted = typeof keep === 'number' ? undefined : keep.counts;
    this.enqueue('top', given(x, protect, counted), [indices, offsets], () => {
      const counts = typeof keep === 'number' ? new Int32Array(heads).fill(keep) : integers(keep.counts);
      scores.checkCounts(counts, length, total, max);
      const kept = scores.top(floats(x), heads, counts, options, protect && floats(protect));
      integers(indices).set(kept.flat());
      let end = 0;
      integers(offsets).set([0, ...counts].map((count) => (end += count)));
    });
    return { indices, offsets, total, ...(typeof keep === 'number' && { perHead: keep }), maxPerHead: max };
  }

  topShares(x: t.Tensor, total: number): t.Tensor {
    const shape = t.checkTopShares(x, total);
    return this.anyOp('topShares', [x], 'i32', shape, (out) =>
      scores.topShares(floats(x), shape[0] ?? 0, total, out as Int32Array),
    );
  }

  roundShares(shares: t.Tensor, total: number, cap: number): t.Tensor {
    const shape = t.checkRoundShares(shares, total, cap);
    return this.anyOp('roundShares', [shares], 'i32', shape, (out) =>
      scores.roundShares(floats(shares), total, cap, out as Int32Array),
    );
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
    const shape = t.checkUniformNumbers(key, rows, columns);
    return this.floatOp('uniform', [], shape, (out) => scores.uniform(key, rows, columns, out));
  }

  map(x: t.Tensor, op: t.UnaryOp): t.Tensor {
    return this.floatOp('map', [x], t.checkMap('map', x), (out) => algebra.map(floats(x), op, out));
  }

  zip(a: t.Tensor, b: t.Tensor | number, op: t.BinaryOp): t.Tensor {
    const shape = t.checkZip(a, b);
    return this.floatOp('zip', typeof b === 'number' ? [a] : [a, b], shape, (out) => {
      const other = typeof b === 'number' ? { values: b, shape: [] } : { values: floats(b), shape: b.shape };
      algebra.zip(floats(a), a.shape, other.values, other.shape, op, out, shape);
    });
  }

  reduce(x: t.Tensor, axis: number, op: t.ReduceOp): t.Tensor {
    const checked = t.checkReduce(x, axis);
    return this.floatOp('reduce', [x], checked.shape, (out) => algebra.reduce(floats(x), x.shape, checked.axis, op, out));
  }

  evaluate(formula: t.Formula, reduction?: t.Reduction): t.Tensor {
    const { tensors, steps, whole, shape, axis } = t.checkEvaluate(formula, reduction);
    return this.floatOp('evaluate', tensors, shape, (out) => {
      const operands = tensors.map((tensor) => ({ values: floats(tensor), shape: tensor.shape }));
      const values = algebra.evaluate(operands, steps);
      if (axis === undefined || reduction === undefined) out.set(values);
      else algebra.reduce(values, whole, axis, reduction.op, out);
    });
  }

  softmax(x: t.Tensor): t.Tensor {
    return this.floatOp('softmax', [x], t.checkLastAxis('softmax', x), (out) => algebra.softmax(floats(x), x.shape, out));
  }

  cumsum(x: t.Tensor): t.Tensor {
    return this.floatOp('cumsum', [x], t.checkLastAxis('cumsum', x), (out) => algebra.cumsum(floats(x), x.shape, out));
  }

  rank(x: t.Tensor): t.Tensor {
    return this.floatOp('rank', [x], t.checkLastAxis('rank', x), (out) => algebra.rank(floats(x), x.shape, out));
  }

  matmul(a: t.Tensor, b: t.Tensor, { transposeB = false }: t.MatmulOptions = {}): t.Tensor {
    const shape = t.checkMatmul(a, b, transposeB);
    return this.floatOp('matmul', [a, b], shape, (out) =>
      algebra.matmul(floats(a), a.shape, weightValues(b), b.shape, transposeB, out, shape),
    );
  }

  covariance(x: t.Tensor, options: t.CovarianceOptions): t.Moments {
    const shapes = t.checkCovariance(x, options);
    const [mean, covariance] = [this.make('f32', shapes[0]), this.make('f32', shapes[1])];
    this.enqueue('covariance', [x], [mean, covariance], () =>
      algebra.covariance(floats(x), x.shape, options, floats(mean), floats(covariance)),
    );
    return { mean, covariance };
  }

  slice(x: t.Tensor, axis: number, start: number, end: number): t.Tensor {
    const checked = t.checkSlice(x, axis, start, end);
    return this.anyOp('slice', [x], x.dtype, checked.shape, (out) =>
      algebra.slice(storageOf(x).data, x.shape, checked.axis, start, end, out),
    );
  }

  concat(parts: readonly t.Tensor[], axis: number): t.Tensor {
    const checked = t.checkConcat(parts, axis);
    return this.anyOp('concat', parts, parts[0]?.dtype ?? 'f32', checked.shape, (out) => {
      const sources = parts.map((part) => ({ data: storageOf(part).data, shape: part.shape }));
      algebra.concat(sources, checked.axis, out, checked.shape);
    });
  }

  transpose(x: t.Tensor, order: readonly number[]): t.Tensor {
    const shape = t.checkTranspose(x, order);
    return this.anyOp('transpose', [x], x.dtype, shape, (out) => algebra.transpose(storageOf(x).data, x.shape, order, out));
  }

  toFloat(x: t.Tensor): t.Tensor {
    const shape = t.checkToFloat(x);
    return this.floatOp('toFloat', [x], shape, (out) => out.set(x.dtype.endsWith('f16') ? weightValues(x) : storageOf(x).data));
  }

  toInt(x: t.Tensor): t.Tensor {
    return this.anyOp('toInt', [x], 'i32', t.checkMap('toInt', x), (out) => algebra.toInt(floats(x), out as Int32Array));
  }
}

/** The Backend contract in plain TypeScript: the yardstick of every other backend. Slow. */
export function createReferenceBackend(): t.Backend {
  return new ReferenceBackend();
}
