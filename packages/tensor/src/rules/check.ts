import { type DType, dtypes } from '../dtype.js';
import { KvsiftError } from '../errors.js';
import { formatShape, type Shape, sameShape } from '../shape.js';
import type { Tensor } from '../tensor.js';

/** @throws KvsiftError `disposed` */
export function alive(op: string, name: string, x: Tensor): void {
  if (!x.alive) throw new KvsiftError('disposed', `${op}: ${name} was disposed`, { op, name });
}

/** A living tensor of one of these dtypes. @throws KvsiftError `disposed`, `dtype_mismatch` */
export function dtypeIs(op: string, name: string, x: Tensor, ...allowed: readonly DType[]): void {
  alive(op, name, x);
  if (allowed.includes(x.dtype)) return;
  throw new KvsiftError('dtype_mismatch', `${op}: ${name} must be ${allowed.join(' or ')}, not ${x.dtype}`, {
    op,
    name,
    dtype: x.dtype,
  });
}

/** A living tensor of numbers that a weight may have: f32, f16, bf16 or a block format. @throws KvsiftError `disposed`, `dtype_mismatch` */
export function isWeight(op: string, name: string, x: Tensor): void {
  dtypeIs(op, name, x, ...dtypes.filter((dtype) => dtype !== 'i32' && dtype !== 'u8'));
}

/** @throws KvsiftError `shape_mismatch` */
export function shapeIs(op: string, name: string, x: Tensor, shape: Shape): void {
  if (sameShape(x.shape, shape)) return;
  throw new KvsiftError('shape_mismatch', `${op}: ${name} must be ${formatShape(shape)}, not ${formatShape(x.shape)}`, {
    op,
    name,
    shape: x.shape,
    expected: shape,
  });
}

/** A living tensor of this dtype and shape. */
export function is(op: string, name: string, x: Tensor, dtype: DType, shape: Shape): void {
  dtypeIs(op, name, x, dtype);
  shapeIs(op, name, x, shape);
}

/** Rows and columns of a living f32 matrix. */
export function matrix(op: string, name: string, x: Tensor): readonly [rows: number, columns: number] {
  dtypeIs(op, name, x, 'f32');
  const [rows, columns] = x.shape;
  if (x.shape.length === 2 && rows !== undefined && columns !== undefined) return [rows, columns];
  throw new KvsiftError('shape_mismatch', `${op}: ${name} must be a matrix, not ${formatShape(x.shape)}`, {
    op,
    name,
    shape: x.shape,
  });
}

/** @throws KvsiftError `invalid_argument` */
export function demand(
  condition: boolean,
  op: string,
  sentence: string,
  details: Readonly<Record<string, unknown>> = {},
): asserts condition {
  if (!condition) throw new KvsiftError('invalid_argument', `${op}: ${sentence}`, { op, ...details });
}

/** @throws KvsiftError `invalid_argument` where the value is no integer in low … high */
export function integer(op: string, name: string, value: number, low: number, high = Number.MAX_SAFE_INTEGER): void {
  demand(
    Number.isInteger(value) && value >= low && value <= high,
    op,
    `${name} must be an integer from ${low} to ${high}, not ${value}`,
    {
      name,
      value,
    },
  );
}

/** @throws KvsiftError `invalid_argument` where the value is not finite */
export function finite(op: string, name: string, value: number): void {
  demand(Number.isFinite(value), op, `${name} must be finite, not ${value}`, { name, value });
}

/** Axis counted from the front. @throws KvsiftError `invalid_argument` */
export function axisOf(op: string, x: Tensor, axis: number): number {
  const rank = x.shape.length;
  integer(op, 'axis', axis, -rank, rank - 1);
  return axis < 0 ? axis + rank : axis;
}
