import { blockLayout, byteLength, type DType, isBlockType } from '../dtype.js';
import { KvsiftError } from '../errors.js';
import type {
  FeedForwardOptions,
  FeedForwardWeights,
  LinearOptions,
  NormOptions,
  RopeOptions,
  SamplingRule,
} from '../op-options.js';
import { elementCount, formatShape, type Shape } from '../shape.js';
import type { HostArray, StoredTensor, Tensor, WeightRole } from '../tensor.js';
import { alive, demand, dtypeIs, finite, integer, is, isWeight, matrix, shapeIs } from './check.js';

function sizes(op: string, shape: Shape): void {
  for (const size of shape) integer(op, 'every size', size, 0);
  demand(shape.length <= 4, op, `tensors have at most 4 axes, not ${shape.length}`);
}

/** Rules of `empty`: at most 4 axes of whole sizes, block types in whole blocks. @throws KvsiftError `invalid_argument`, `shape_mismatch` */
export function checkEmpty(dtype: DType, shape: Shape): void {
  sizes('empty', shape);
  byteLength(dtype, shape);
}

const hostTypes = { f32: Float32Array, i32: Int32Array, f16: Uint16Array, bf16: Uint16Array, u8: Uint8Array } as const;

function hostData(op: string, data: HostArray, dtype: DType, shape: Shape): void {
  const type = isBlockType(dtype) ? Uint8Array : hostTypes[dtype];
  if (!(data instanceof type)) {
    throw new KvsiftError('dtype_mismatch', `${op}: ${dtype} comes as ${type.name}, not ${data?.constructor?.name}`, {
      op,
      dtype,
    });
  }
  const expected = isBlockType(dtype) ? byteLength(dtype, shape) : elementCount(shape);
  if (data.length !== expected) {
    throw new KvsiftError(
      'shape_mismatch',
      `${op}: ${formatShape(shape)} ${dtype} takes ${expected} elements, not ${data.length}`,
      { op },
    );
  }
}

/** Rules of `upload`: the typed array that belongs to the dtype, with as many elements as the shape (bytes for block types). @throws KvsiftError `dtype_mismatch`, `shape_mismatch` */
export function checkUpload(data: HostArray, dtype: DType, shape: Shape): void {
  sizes('upload', shape);
  byteLength(dtype, shape);
  hostData('upload', data, dtype, shape);
}

/** True where the data are a tensor. */
export function checkWrite(x: Tensor, data: HostArray | Tensor): data is Tensor {
  alive('write', 'tensor', x);
  if (ArrayBuffer.isView(data)) {
    hostData('write', data, x.dtype, x.shape);
    return false;
  }
  is('write', 'data', data, x.dtype, x.shape);
  return true;
}

/** Rules of `writeRows`: data of the dtype and columns of x replace its rows from `row` on. @throws KvsiftError `shape_mismatch`, `invalid_argument` */
export function checkWriteRows(x: Tensor, row: number, data: Tensor): void {
  dtypeIs('writeRows', 'tensor', x, 'f32', 'f16', 'bf16', 'i32', 'u8');
  const [rows, ...rest] = x.shape;
  demand(rows !== undefined && x !== data, 'writeRows', 'needs rows, and those of another tensor');
  integer('writeRows', 'row', row, 0, rows);
  const count = data.shape[0] ?? 0;
  is('writeRows', 'data', data, x.dtype, [count, ...rest]);
  demand(row + count <= rows, 'writeRows', `${count} rows from ${row} on do not fit ${formatShape(x.shape)}`);
}

/** Shape of the weight that the sources make together. */
export function checkLoad(sources: readonly StoredTensor[], role: WeightRole): Shape {
  const [first] = sources;
  demand(first !== undefined, 'load', 'needs at least one stored tensor');
  let rows = 0;
  const rank = role === 'vector' ? 1 : 2;
  for (const source of sources) {
    const { name, dtype, shape, rowOrder } = source;
    if (shape.length !== rank || (rank === 2 && shape[1] !== first.shape[1])) {
      throw new KvsiftError(
        'shape_mismatch',
        `load: ${name} ${formatShape(shape)} cannot be a ${role} beside ${first.name} ${formatShape(first.shape)}`,
        {
          op: 'load',
          name,
        },
      );
    }
    if (dtype === 'i32' || dtype === 'u8')
      throw new KvsiftError('dtype_mismatch', `load: ${name} is ${dtype}, a weight is not`, { op: 'load', name });
    const height = shape[0] ?? 0;
    demand(
      source.byteLength === byteLength(dtype, shape),
      'load',
      `${name} claims ${source.byteLength} bytes, its shape needs ${byteLength(dtype, shape)}`,
    );
    for (const row of rowOrder ?? []) integer('load', `row of ${name}`, row, 0, height - 1);
    demand(
      rowOrder === undefined || blockLayout(dtype).values === 1 || rank === 2,
      'load',
      `${name}: rows of a block vector cannot be reordered`,
    );
    rows += rowOrder?.length ?? height;
  }
  return rank === 1 ? [rows] : [rows, first.shape[1] ?? 0];
}

/** Shape of `dequantize`: that of the weight. @throws KvsiftError `dtype_mismatch` for what is no weight */
export function checkDequantize(weight: Tensor): Shape {
  isWeight('dequantize', 'weight', weight);
  return weight.shape;
}

/** Shape [tokens, hidden] of `embedding`: a table [vocabulary, hidden], ids i32 [tokens]. @throws KvsiftError `invalid_argument`, `dtype_mismatch` */
export function checkEmbedding(table: Tensor, ids: Tensor): Shape {
  isWeight('embedding', 'table', table);
  demand(table.shape.length === 2, 'embedding', `table must be a matrix, not ${formatShape(table.shape)}`);
  dtypeIs('embedding', 'ids', ids, 'i32');
  demand(ids.shape.length === 1, 'embedding', `ids must be a vector, not ${formatShape(ids.shape)}`);
  return [ids.shape[0] ?? 0, table.shape[1] ?? 0];
}

/** Shape of `rmsNorm`: that of x, whose last axis is as long as the weight, f32. @throws KvsiftError `shape_mismatch`, `invalid_argument` for an epsilon below 0 */
export function checkRmsNorm(x: Tensor, weight: Tensor, options: NormOptions): Shape {
  dtypeIs('rmsNorm', 'x', x, 'f32');
  dtypeIs('rmsNorm', 'weight', weight, 'f32');
  shapeIs('rmsNorm', 'weight', weight, [x.shape.at(-1) ?? 1]);
  checkNormOptions('rmsNorm', options);
  return x.shape;
}

function checkNormOptions(op: string, { epsilon, weightOffset = 0 }: NormOptions): void {
  demand(epsilon >= 0 && Number.isFinite(epsilon), op, `epsilon must be finite and not negative, not ${epsilon}`);
  finite(op, 'weightOffset', weightOffset);
}

/**
 * Shape [rows, outputs] of `linear`: x f32 [rows, inputs], weight [outputs, inputs] of any weight type; bias f32 [outputs] and residual f32 [rows, outputs] where given.
 * @throws KvsiftError `shape_mismatch`, `dtype_mismatch`
 */
export function checkLinear(x: Tensor, weight: Tensor, options: LinearOptions): Shape {
  const [rows, inputs] = matrix('linear', 'x', x);
  isWeight('linear', 'weight', weight);
  const [outputs, columns] = weight.shape;
  if (weight.shape.length !== 2 || columns !== inputs || outputs === undefined) {
    throw new KvsiftError(
      'shape_mismatch',
      `linear: x has ${inputs} columns, weight ${formatShape(weight.shape)} takes ${columns}`,
      { op: 'linear' },
    );
  }
  if (options.bias) is('linear', 'bias', options.bias, 'f32', [outputs]);
  if (options.residual) is('linear', 'residual', options.residual, 'f32', [rows, outputs]);
  return [rows, outputs];
}

/** Shape [rows, outputs] of `feedForward` of x, f32 [rows, hidden]; shapes of the weights as `FeedForwardWeights` says. @throws KvsiftError `shape_mismatch`, `dtype_mismatch` */
export function checkFeedForward(x: Tensor, weights: FeedForwardWeights, options: FeedForwardOptions): Shape {
  const op = 'feedForward';
  const [rows, hidden] = matrix(op, 'x', x);
  const { norm, gateUp, gateUpBias, down, downBias } = weights;
  isWeight(op, 'gateUp', gateUp);
  isWeight(op, 'down', down);
  is(op, 'norm', norm, 'f32', [hidden]);
  const [outputs = 0, inner = 0] = down.shape;
  shapeIs(op, 'gateUp', gateUp, [2 * inner, hidden]);
  shapeIs(op, 'down', down, [outputs, inner]);
  if (gateUpBias) is(op, 'gateUpBias', gateUpBias, 'f32', [2 * inner]);
  if (downBias) is(op, 'downBias', downBias, 'f32', [outputs]);
  if (options.residual) is(op, 'residual', options.residual, 'f32', [rows, outputs]);
  checkNormOptions(op, options);
  return [rows, outputs];
}

/**
 * Shape [queryHeads, n] of `projectedNorms`: values f32 [kvHeads, n, headDim], weight [outputs, queryHeads · headDim].
 * @throws KvsiftError `shape_mismatch`, `dtype_mismatch`, `invalid_argument`
 */
export function checkProjectedNorms(values: Tensor, weight: Tensor): Shape {
  dtypeIs('projectedNorms', 'values', values, 'f32');
  isWeight('projectedNorms', 'weight', weight);
  const [kvHeads = 0, length = 0, headDim = 0] = values.shape;
  demand(
    values.shape.length === 3 && kvHeads > 0 && headDim > 0,
    'projectedNorms',
    `values must be [kvHeads, n, headDim], not ${formatShape(values.shape)}`,
  );
  const [outputs = 0, columns = 0] = weight.shape;
  const queryHeads = columns / headDim;
  if (weight.shape.length !== 2 || outputs === 0 || columns === 0 || queryHeads % kvHeads !== 0) {
    throw new KvsiftError(
      'shape_mismatch',
      `projectedNorms: the weight ${formatShape(weight.shape)} does not have the columns of query heads that share the heads of values ${formatShape(values.shape)}`,
      { op: 'projectedNorms' },
    );
  }
  return [queryHeads, length];
}

/** Shape [rows, columns / 2] of `gated` of x, f32 [rows, columns]. @throws KvsiftError `invalid_argument` for an odd number of columns */
export function checkGated(x: Tensor): Shape {
  const [rows, columns] = matrix('gated', 'x', x);
  demand(columns % 2 === 0, 'gated', `x needs an even number of columns, not ${columns}`);
  return [rows, columns / 2];
}

/** Shape of `softcap`: that of x; the cap is above 0. @throws KvsiftError `invalid_argument`, `dtype_mismatch` */
export function checkSoftcap(x: Tensor, cap: number): Shape {
  dtypeIs('softcap', 'x', x, 'f32');
  demand(cap > 0 && Number.isFinite(cap), 'softcap', `cap must be positive, not ${cap}`);
  return x.shape;
}

/** Shapes [rows, width] of `splitColumns`: the widths sum to the columns of x. @throws KvsiftError `shape_mismatch`, `invalid_argument` */
export function checkSplitColumns(x: Tensor, widths: readonly number[]): Shape[] {
  const [rows, columns] = matrix('splitColumns', 'x', x);
  for (const width of widths) integer('splitColumns', 'width', width, 0);
  const sum = widths.reduce((total, width) => total + width, 0);
  if (sum !== columns)
    throw new KvsiftError('shape_mismatch', `splitColumns: widths sum to ${sum}, x has ${columns} columns`, {
      op: 'splitColumns',
    });
  return widths.map((width) => [rows, width]);
}

/**
 * Shape of `rope`, that of x, f32 [rows, heads · headDim]: positions i32 [rows], inverse frequencies f32 of at most headDim / 2 pairs.
 * @throws KvsiftError `shape_mismatch`, `dtype_mismatch`, `invalid_argument`
 */
export function checkRope(x: Tensor, positions: Tensor, options: RopeOptions): Shape {
  const [rows, columns] = matrix('rope', 'x', x);
  is('rope', 'positions', positions, 'i32', [rows]);
  integer('rope', 'heads', options.heads, 1);
  dtypeIs('rope', 'inverseFrequencies', options.inverseFrequencies, 'f32');
  const headDim = columns / options.heads;
  const pairs = options.inverseFrequencies.shape[0] ?? 0;
  if (options.inverseFrequencies.shape.length !== 1 || !Number.isInteger(headDim) || 2 * pairs > headDim) {
    throw new KvsiftError(
      'shape_mismatch',
      `rope: ${columns} columns are not ${options.heads} heads that hold ${pairs} rotary pairs`,
      { op: 'rope' },
    );
  }
  finite('rope', 'scale', options.scale ?? 1);
  return x.shape;
}

/** Rows of `sample`: one rule for each row of logits, f32 [rows, vocabulary], each number of it within its range. @throws KvsiftError `invalid_argument` */
export function checkSample(logits: Tensor, rules: readonly SamplingRule[]): number {
  const [rows, vocabulary] = matrix('sample', 'logits', logits);
  demand(rules.length === rows, 'sample', `${rows} rows of logits need as many rules, not ${rules.length}`);
  demand(vocabulary > 0, 'sample', 'the vocabulary is empty');
  for (const { temperature, topK, topP, minP, uniform } of rules) {
    demand(temperature >= 0 && Number.isFinite(temperature), 'sample', `temperature must not be negative, but is ${temperature}`);
    integer('sample', 'topK', topK, 0);
    demand(
      topP >= 0 && topP <= 1 && minP >= 0 && minP <= 1,
      'sample',
      `topP and minP are between 0 and 1, not ${topP} and ${minP}`,
    );
    demand(uniform > 0 && uniform < 1, 'sample', `uniform is between 0 and 1, not ${uniform}`);
  }
  return rows;
}
