import { KvsiftError } from '../errors.js';
import type { CovarianceOptions } from '../op-options.js';
import { broadcastShape, elementCount, formatShape, type Shape, sameShape } from '../shape.js';
import type { Tensor } from '../tensor.js';
import { alive, axisOf, demand, dtypeIs, integer, matrix } from './check.js';

/** Shape of `reshape`: the one asked for, as many elements as x, at most 4 axes. @throws KvsiftError `shape_mismatch`, `invalid_argument` */
export function checkReshape(x: Tensor, shape: Shape): Shape {
  alive('reshape', 'x', x);
  for (const size of shape) integer('reshape', 'every size', size, 0);
  demand(shape.length <= 4, 'reshape', `tensors have at most 4 axes, not ${shape.length}`);
  if (elementCount(shape) === elementCount(x.shape)) return shape;
  throw new KvsiftError('shape_mismatch', `reshape: ${formatShape(x.shape)} does not fill ${formatShape(shape)}`, {
    op: 'reshape',
  });
}

/** Shape of an op that takes f32 elements one by one: that of x. @throws KvsiftError `dtype_mismatch` */
export function checkMap(op: string, x: Tensor): Shape {
  dtypeIs(op, 'x', x, 'f32');
  return x.shape;
}

/** Shape of `zip`: both operands f32, broadcast as NumPy does; b may be a number. @throws KvsiftError `shape_mismatch`, `dtype_mismatch` */
export function checkZip(a: Tensor, b: Tensor | number): Shape {
  dtypeIs('zip', 'a', a, 'f32');
  if (typeof b === 'number') return a.shape;
  dtypeIs('zip', 'b', b, 'f32');
  const shape = broadcastShape(a.shape, b.shape);
  if (shape !== undefined) return shape;
  throw new KvsiftError('shape_mismatch', `zip: ${formatShape(a.shape)} and ${formatShape(b.shape)} do not broadcast`, {
    op: 'zip',
  });
}

/** Shape without the axis, and the axis counted from the front. */
export function checkReduce(x: Tensor, axis: number): { shape: Shape; axis: number } {
  dtypeIs('reduce', 'x', x, 'f32');
  const at = axisOf('reduce', x, axis);
  return { shape: x.shape.filter((_, index) => index !== at), axis: at };
}

/** For ops along the last axis. */
export function checkLastAxis(op: string, x: Tensor): Shape {
  dtypeIs(op, 'x', x, 'f32');
  demand(x.shape.length >= 1, op, 'x needs an axis');
  return x.shape;
}

/**
 * Shape [..., rows, columns] of `matmul`: a f32 [..., rows, inner], b f32, f16 or bf16 [..., inner, columns], its last two axes swapped where `transposeB`; the
 * leading axes broadcast. @throws KvsiftError `shape_mismatch`, `dtype_mismatch`, `invalid_argument`
 */
export function checkMatmul(a: Tensor, b: Tensor, transposeB: boolean): Shape {
  dtypeIs('matmul', 'a', a, 'f32');
  dtypeIs('matmul', 'b', b, 'f32', 'f16', 'bf16');
  demand(a.shape.length >= 2 && b.shape.length >= 2, 'matmul', 'both operands need at least two axes');
  const [rows = 0, inner = 0] = a.shape.slice(-2);
  const [first = 0, second = 0] = b.shape.slice(-2);
  const [otherInner, columns] = transposeB ? [second, first] : [first, second];
  const lead = broadcastShape(a.shape.slice(0, -2), b.shape.slice(0, -2));
  if (inner !== otherInner || lead === undefined) {
    throw new KvsiftError(
      'shape_mismatch',
      `matmul: ${formatShape(a.shape)} × ${formatShape(b.shape)}${transposeB ? ' transposed' : ''} do not fit`,
      { op: 'matmul' },
    );
  }
  return [...lead, rows, columns];
}

/**
 * Shapes of `covariance` of x, f32 [rows, heads · headDim]: mean [heads, headDim] and covariance [heads, headDim, headDim] of the rows from `first` on.
 * @throws KvsiftError `invalid_argument` where heads do not share the columns or no row is left
 */
export function checkCovariance(x: Tensor, { heads, first = 0 }: CovarianceOptions): [mean: Shape, covariance: Shape] {
  const [rows, columns] = matrix('covariance', 'x', x);
  integer('covariance', 'heads', heads, 1);
  demand(columns > 0 && columns % heads === 0, 'covariance', `${heads} heads do not share ${columns} columns`);
  demand(rows > 0, 'covariance', 'x needs at least one row');
  integer('covariance', 'first', first, 0, rows - 1);
  const headDim = columns / heads;
  return [
    [heads, headDim],
    [heads, headDim, headDim],
  ];
}

/** Shape of `slice`, indices `start` to `end` (exclusive) of an axis, and the axis counted from the front. @throws KvsiftError `invalid_argument` */
export function checkSlice(x: Tensor, axis: number, start: number, end: number): { shape: Shape; axis: number } {
  alive('slice', 'x', x);
  const at = axisOf('slice', x, axis);
  const size = x.shape[at] ?? 0;
  integer('slice', 'start', start, 0, size);
  integer('slice', 'end', end, start, size);
  return { shape: x.shape.map((own, index) => (index === at ? end - start : own)), axis: at };
}

/**
 * Shape of `concat` and the axis counted from the front: the parts are of one dtype and differ in that axis alone.
 * @throws KvsiftError `shape_mismatch`, `dtype_mismatch`, `invalid_argument` without parts
 */
export function checkConcat(parts: readonly Tensor[], axis: number): { shape: Shape; axis: number } {
  const [first] = parts;
  demand(first !== undefined, 'concat', 'needs at least one part');
  alive('concat', 'part 0', first);
  const at = axisOf('concat', first, axis);
  let size = 0;
  for (const [index, part] of parts.entries()) {
    dtypeIs('concat', `part ${index}`, part, first.dtype);
    const expected = first.shape.map((own, place) => (place === at ? (part.shape[at] ?? 0) : own));
    if (!sameShape(part.shape, expected)) {
      throw new KvsiftError(
        'shape_mismatch',
        `concat: part ${index} is ${formatShape(part.shape)}, beside ${formatShape(first.shape)} on axis ${at}`,
        { op: 'concat' },
      );
    }
    size += part.shape[at] ?? 0;
  }
  return { shape: first.shape.map((own, place) => (place === at ? size : own)), axis: at };
}

/** Shape of `transpose`: axis i of the result is axis `order[i]` of x. @throws KvsiftError `invalid_argument` where `order` is no order of all axes */
export function checkTranspose(x: Tensor, order: readonly number[]): Shape {
  alive('transpose', 'x', x);
  demand(
    order.length === x.shape.length && [...order].sort((a, b) => a - b).every((axis, index) => axis === index),
    'transpose',
    `order must name each of the ${x.shape.length} axes once, not [${order.join(', ')}]`,
  );
  return order.map((axis) => x.shape[axis] ?? 0);
}

/** Any element type. */
export function checkToFloat(x: Tensor): Shape {
  dtypeIs('toFloat', 'x', x, 'f32', 'f16', 'bf16', 'i32', 'u8');
  return x.shape;
}
