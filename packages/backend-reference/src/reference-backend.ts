import * as t from '@kvsift/tensor';
import { floats, HostTensor, hostArray, integers, Storage, storageOf } from './host-tensor.js';
import { readStored } from './load.js';
import { MemoryCount } from './memory.js';
import * as algebra from './ops/algebra.js';
import * as attention from './ops/attention.js';
import * as kv from './ops/kv.js';
import * as model from './ops/model.js';
import * as scores from './ops/scores.js';

/** Computes every op at once, in the order of the calls, on the calling thread. */
class ReferenceBackend implements t.Backend {
  readonly info: t.BackendInfo = {
    name: 'reference',
    description: 'plain TypeScript, float64 accumulation',
    threads: 1,
    compute: 'f32',
  };
  readonly #memory = new MemoryCount();
  #failure: t.KvsiftError | undefined;
  #alive = true;

  upload(data: t.HostArray, dtype: t.DType, shape: t.Shape): t.Tensor {
    t.checkUpload(data, dtype, shape);
    return this.#hold(dtype, shape, data.slice());
  }

  empty(dtype: t.DType, shape: t.Shape): t.Tensor {
    t.checkEmpty(dtype, shape);
    return this.#hold(dtype, shape, hostArray(dtype, shape));
  }

  write(tensor: t.Tensor, data: t.HostArray): void {
    t.checkWrite(tensor, data);
    storageOf(tensor).data.set(data);
  }

  async load(sources: t.StoredTensor | readonly t.StoredTensor[], role: t.WeightRole): Promise<t.Tensor> {
    const list = Array.isArray(sources) ? (sources as readonly t.StoredTensor[]) : [sources as t.StoredTensor];
    const shape = t.checkLoad(list, role);
    const values = new Float32Array(t.elementCount(shape));
    let at = 0;
    for (const source of list) {
      const part = await readStored(source);
      values.set(part, at);
      at += part.length;
    }
    this.#demandAlive();
    return new HostTensor('f32', shape, new Storage(values, this.#memory, true));
  }

  dequantize(weight: t.Tensor): t.Tensor {
    t.checkMap('dequantize', weight);
    return this.#compute('dequantize', [weight], weight.shape, (out) => out.set(floats(weight)));
  }

  reshape(x: t.Tensor, shape: t.Shape): t.Tensor {
    return new HostTensor(x.dtype, t.checkReshape(x, shape), storageOf(x));
  }

  async finish(): Promise<void> {
    this.#demandAlive();
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure) throw failure;
  }

  memory(): t.MemoryUse {
    return this.#memory.use();
  }

  resetPeak(): void {
    this.#memory.resetPeak();
  }

  async dispose(): Promise<void> {
    this.#alive = false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }

  embedding(table: t.Tensor, ids: t.Tensor, scale = 1): t.Tensor {
    const shape = t.checkEmbedding(table, ids);
    return this.#compute('embedding', [table, ids], shape, (out) => {
      const [rows = 0, columns = 0] = table.shape;
      const wrong = integers(ids).find((id) => id < 0 || id >= rows);
      if (wrong !== undefined)
        throw new t.KvsiftError('invalid_argument', `embedding: id ${wrong} is not in a table of ${rows} rows`, {
          op: 'embedding',
        });
      model.embedding(floats(table), columns, integers(ids), scale, out);
    });
  }

  rmsNorm(x: t.Tensor, weight: t.Tensor, options: t.NormOptions): t.Tensor {
    const shape = t.checkRmsNorm(x, weight, options);
    return this.#compute('rmsNorm', [x, weight], shape, (out) => model.rmsNorm(floats(x), floats(weight), options, out));
  }

  linear(x: t.Tensor, weight: t.Tensor, options: t.LinearOptions = {}): t.Tensor {
    const shape = t.checkLinear(x, weight, options);
    const { bias, residual } = options;
    const inputs = [x, weight, ...(bias ? [bias] : []), ...(residual ? [residual] : [])];
    return this.#compute('linear', inputs, shape, (out) =>
      model.linear(
        floats(x),
        floats(weight),
        x.shape[1] ?? 0,
        shape[1] ?? 0,
        bias && floats(bias),
        residual && floats(residual),
        out,
      ),
    );
  }

  gated(x: t.Tensor, activation: 'silu' | 'gelu_tanh' | 'gelu'): t.Tensor {
    const shape = t.checkGated(x);
    return this.#compute('gated', [x], shape, (out) => model.gated(floats(x), shape[1] ?? 0, activation, out));
  }

  softcap(x: t.Tensor, cap: number): t.Tensor {
    return this.#compute('softcap', [x], t.checkSoftcap(x, cap), (out) => model.softcap(floats(x), cap, out));
  }

  splitColumns(x: t.Tensor, widths: readonly number[]): t.Tensor[] {
    let start = 0;
    return t.checkSplitColumns(x, widths).map((shape, index) => {
      const [from, end] = [start, start + (widths[index] ?? 0)];
      start = end;
      return this.#compute('splitColumns', [x], shape, (out) => algebra.slice(floats(x), x.shape, 1, from, end, out));
    });
  }

  rope(x: t.Tensor, positions: t.Tensor, options: t.RopeOptions): t.Tensor {
    const shape = t.checkRope(x, positions, options);
    const { heads, inverseFrequencies, scale = 1 } = options;
    const headDim = (x.shape[1] ?? 0) / heads;
    return this.#compute('rope', [x, positions, inverseFrequencies], shape, (out) =>
      model.rope(floats(x), integers(positions), heads, headDim, floats(inverseFrequencies), scale, out),
    );
  }

  sample(logits: t.Tensor, rules: readonly t.SamplingRule[]): { ids: t.Tensor; logProbs: t.Tensor } {
    const rows = t.checkSample(logits, rules);
    const width = logits.shape[1] ?? 0;
    const drawn = rules.map((rule, row) => model.sampleRow(floats(logits).subarray(row * width, (row + 1) * width), rule));
    const { failure } = storageOf(logits);
    return {
      ids: this.#hold(
        'i32',
        [rows],
        Int32Array.from(drawn, ([id]) => id),
        failure,
      ),
      logProbs: this.#hold(
        'f32',
        [rows],
        Float32Array.from(drawn, ([, logProb]) => logProb),
        failure,
      ),
    };
  }

  kvAppend(segments: readonly t.AttentionSegment[], k: t.Tensor, v: t.Tensor, positions: t.Tensor): void {
    t.checkKvAppend(segments, k, v, positions);
    this.#act('kvAppend', [k, v, positions], () => {
      let first = 0;
      for (const { view, rows } of segments) {
        kv.append(view, rows, floats(k), floats(v), integers(positions), first);
        first += rows;
      }
    });
  }

  kvGather(from: t.KvView, selection: t.Selection | 'all', to: t.KvView): void {
    t.checkKvGather(from, selection, to);
    this.#act('kvGather', selection === 'all' ? [] : [selection.indices, selection.offsets], () =>
      kv.gather(from, selection, to),
    );
  }

  kvRead(view: t.KvView, part: 'keys' | 'values'): t.Tensor {
    return this.#compute('kvRead', [], t.checkKvRead(view), (out) => kv.readPart(view, part, out));
  }

  kvReplace(view: t.KvView, part: 'keys' | 'values', x: t.Tensor): void {
    t.checkKvReplace(view, x);
    this.#act('kvReplace', [x], () => kv.replacePart(view, part, floats(x)));
  }

  attention(q: t.Tensor, segments: readonly t.AttentionSegment[], options: t.AttentionOptions): t.AttentionResult {
    const shape = t.checkAttention(q, segments, options);
    const lse = options.logSumExp ? new Float32Array((q.shape[0] ?? 0) * options.queryHeads) : undefined;
    const positions = options.positions && integers(options.positions);
    const output = this.#compute('attention', [q], shape, (out) => {
      let first = 0;
      for (const { view, rows } of segments) {
        attention.attention(floats(q), view, first, rows, options, positions, out, lse);
        first += rows;
      }
    });
    if (lse === undefined) return { output };
    return { output, logSumExp: this.#hold('f32', [q.shape[0] ?? 0, options.queryHeads], lse, storageOf(output).failure) };
  }

  attentionColumns(q: t.Tensor, view: t.KvView, statistic: t.ColumnStatistic, options: t.ColumnOptions): t.Tensor {
    const shape = t.checkColumns('attentionColumns', q, view, options);
    const { positions, logSumExp } = options;
    return this.#compute('attentionColumns', [q], shape, (out) =>
      attention.attentionColumns(
        floats(q),
        view,
        q.shape[0] ?? 0,
        statistic,
        options,
        positions && integers(positions),
        logSumExp && floats(logSumExp),
        out,
      ),
    );
  }

  attentionRows(q: t.Tensor, view: t.KvView, options: t.ColumnOptions): t.Tensor {
    const [heads = 0, length = 0] = t.checkColumns('attentionRows', q, view, options);
    const { positions, logSumExp } = options;
    const rows = q.shape[0] ?? 0;
    return this.#compute('attentionRows', [q], [heads, rows, length], (out) =>
      attention.attentionRows(
        floats(q),
        view,
        rows,
        options,
        positions && integers(positions),
        logSumExp && floats(logSumExp),
        out,
      ),
    );
  }

  pool(x: t.Tensor, kernelSize: number, kind: 'average' | 'max'): t.Tensor {
    const shape = t.checkPool(x, kernelSize);
    return this.#compute('pool', [x], shape, (out) => scores.pool(floats(x), shape.at(-1) ?? 1, kernelSize, kind, out));
  }

  top(x: t.Tensor, options: t.TopOptions): t.Selection {
    const { total, max } = t.checkTop(x, options);
    const heads = x.shape[0] ?? 0;
    const { keep, protect } = options;
    const counts = typeof keep === 'number' ? new Int32Array(heads).fill(keep) : integers(keep.counts);
    const kept = scores.top(floats(x), heads, counts, options, protect && floats(protect));
    const offsets = new Int32Array(heads + 1);
    for (const [head, indices] of kept.entries()) offsets[head + 1] = (offsets[head] ?? 0) + indices.length;
    const found = offsets[heads] ?? 0;
    let failure = storageOf(x).failure;
    if (found !== total)
      failure ??= new t.KvsiftError('invalid_argument', `top: the counts sum to ${found}, not to the total ${total}`, {
        op: 'top',
      });
    const indices = Int32Array.from(kept.flat());
    return {
      indices: this.#hold('i32', [total], failure ? new Int32Array(total) : indices, failure),
      offsets: this.#hold('i32', [heads + 1], offsets, failure),
      total,
      ...(typeof keep === 'number' && { perHead: keep }),
      maxPerHead: max,
    };
  }

  topShares(x: t.Tensor, total: number): t.Tensor {
    const shape = t.checkTopShares(x, total);
    return this.#compute(
      'topShares',
      [x],
      shape,
      (out) => scores.topShares(floats(x), shape[0] ?? 0, total, out),
      new Int32Array(shape[0] ?? 0),
    );
  }

  roundShares(shares: t.Tensor, total: number, cap: number): t.Tensor {
    const shape = t.checkRoundShares(shares, total, cap);
    return this.#compute(
      'roundShares',
      [shares],
      shape,
      (out) => scores.roundShares(floats(shares), total, cap, out),
      new Int32Array(shape[0] ?? 0),
    );
  }

  selection(indices: Int32Array, offsets: Int32Array): t.Selection {
    const { perHead, max } = t.checkHostSelection(indices, offsets);
    return {
      indices: this.#hold('i32', [indices.length], indices.slice()),
      offsets: this.#hold('i32', [offsets.length], offsets.slice()),
      total: indices.length,
      ...(perHead !== undefined && { perHead }),
      maxPerHead: max,
    };
  }

  uniform(key: t.RandomKey, rows: number, columns: number): t.Tensor {
    return this.#compute('uniform', [], t.checkUniformNumbers(key, rows, columns), (out) =>
      scores.uniform(key, rows, columns, out),
    );
  }

  map(x: t.Tensor, op: t.UnaryOp): t.Tensor {
    return this.#compute('map', [x], t.checkMap('map', x), (out) => algebra.map(floats(x), op, out));
  }

  zip(a: t.Tensor, b: t.Tensor | number, op: t.BinaryOp): t.Tensor {
    const shape = t.checkZip(a, b);
    const other = typeof b === 'number' ? { values: b, shape: [] } : { values: floats(b), shape: b.shape };
    return this.#compute('zip', typeof b === 'number' ? [a] : [a, b], shape, (out) =>
      algebra.zip(floats(a), a.shape, other.values, other.shape, op, out, shape),
    );
  }

  reduce(x: t.Tensor, axis: number, op: t.ReduceOp): t.Tensor {
    const checked = t.checkReduce(x, axis);
    return this.#compute('reduce', [x], checked.shape, (out) => algebra.reduce(floats(x), x.shape, checked.axis, op, out));
  }

  softmax(x: t.Tensor): t.Tensor {
    return this.#compute('softmax', [x], t.checkLastAxis('softmax', x), (out) => algebra.softmax(floats(x), x.shape, out));
  }

  cumsum(x: t.Tensor): t.Tensor {
    return this.#compute('cumsum', [x], t.checkLastAxis('cumsum', x), (out) => algebra.cumsum(floats(x), x.shape, out));
  }

  rank(x: t.Tensor): t.Tensor {
    return this.#compute('rank', [x], t.checkLastAxis('rank', x), (out) => algebra.rank(floats(x), x.shape, out));
  }

  matmul(a: t.Tensor, b: t.Tensor, { transposeB = false }: { transposeB?: boolean } = {}): t.Tensor {
    const shape = t.checkMatmul(a, b, transposeB);
    return this.#compute('matmul', [a, b], shape, (out) =>
      algebra.matmul(floats(a), a.shape, floats(b), b.shape, transposeB, out, shape),
    );
  }

  slice(x: t.Tensor, axis: number, start: number, end: number): t.Tensor {
    const checked = t.checkSlice(x, axis, start, end);
    const out = hostArray(x.dtype, checked.shape);
    algebra.slice(storageOf(x).data, x.shape, checked.axis, start, end, out);
    return this.#hold(x.dtype, checked.shape, out, storageOf(x).failure);
  }

  concat(parts: readonly t.Tensor[], axis: number): t.Tensor {
    const checked = t.checkConcat(parts, axis);
    const dtype = parts[0]?.dtype ?? 'f32';
    const out = hostArray(dtype, checked.shape);
    algebra.concat(
      parts.map((part) => ({ data: storageOf(part).data, shape: part.shape })),
      checked.axis,
      out,
      checked.shape,
    );
    return this.#hold(
      dtype,
      checked.shape,
      out,
      parts.map((part) => storageOf(part).failure).find((failure) => failure),
    );
  }

  transpose(x: t.Tensor, order: readonly number[]): t.Tensor {
    const shape = t.checkTranspose(x, order);
    const out = hostArray(x.dtype, shape);
    algebra.transpose(storageOf(x).data, x.shape, order, out);
    return this.#hold(x.dtype, shape, out, storageOf(x).failure);
  }

  toFloat(x: t.Tensor): t.Tensor {
    t.checkToFloat(x);
    const { data, failure } = storageOf(x);
    const convert = x.dtype === 'f16' ? t.halfToFloat : x.dtype === 'bf16' ? t.bfloatToFloat : (value: number) => value;
    return this.#hold('f32', x.shape, Float32Array.from(data, convert), failure);
  }

  toInt(x: t.Tensor): t.Tensor {
    const shape = t.checkMap('toInt', x);
    return this.#hold('i32', shape, Int32Array.from(floats(x), Math.trunc), storageOf(x).failure);
  }

  #demandAlive(): void {
    if (!this.#alive) throw new t.KvsiftError('disposed', 'this backend was disposed');
  }

  #hold(dtype: t.DType, shape: t.Shape, data: t.HostArray, failure?: t.KvsiftError): t.Tensor {
    this.#demandAlive();
    return new HostTensor(dtype, shape, new Storage(data, this.#memory, false, failure));
  }

  /** Runs an op without a result. */
  #act(op: string, inputs: readonly t.Tensor[], run: () => void): t.KvsiftError | undefined {
    this.#demandAlive();
    const inherited = inputs.map((input) => storageOf(input).failure).find((failure) => failure);
    if (inherited) return inherited;
    try {
      run();
      return undefined;
    } catch (error) {
      const failure = t.isKvsiftError(error)
        ? error
        : new t.KvsiftError('backend_failure', `${op}: ${String(error)}`, { op }, { cause: error });
      this.#failure ??= failure;
      return failure;
    }
  }

  /** Runs an op that fills a new tensor: f32, or of the dtype of `out`. */
  #compute(op: string, inputs: readonly t.Tensor[], shape: t.Shape, run: (out: Float32Array) => void): t.Tensor;
  #compute(op: string, inputs: readonly t.Tensor[], shape: t.Shape, run: (out: Int32Array) => void, out: Int32Array): t.Tensor;
  #compute(op: string, inputs: readonly t.Tensor[], shape: t.Shape, run: (out: never) => void, given?: Int32Array): t.Tensor {
    const out = given ?? new Float32Array(t.elementCount(shape));
    const failure = this.#act(op, inputs, () => run(out as never));
    return this.#hold(given ? 'i32' : 'f32', shape, out, failure);
  }
}

/** The Backend contract in plain TypeScript: the yardstick of every other backend. Slow. */
export function createReferenceBackend(): t.Backend {
  return new ReferenceBackend();
}
