import {
  type BinaryOp,
  broadcastShape,
  type CovarianceOptions,
  elementCount,
  type FormulaStep,
  type ReduceOp,
  type Shape,
  type UnaryOp,
} from '@kvsift/tensor';

const unary: Readonly<Record<UnaryOp, (x: number) => number>> = {
  exp: Math.exp,
  log: Math.log,
  sqrt: Math.sqrt,
  abs: Math.abs,
  neg: (x) => -x,
  square: (x) => x * x,
  reciprocal: (x) => 1 / x,
  floor: Math.floor,
  isfinite: (x) => (Number.isFinite(x) ? 1 : 0),
};

const binary: Readonly<Record<BinaryOp, (a: number, b: number) => number>> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
  max: Math.max,
  min: Math.min,
  less: (a, b) => (a < b ? 1 : 0),
};

export function map(x: Float32Array, op: UnaryOp, out: Float32Array): void {
  const apply = unary[op];
  for (let index = 0; index < x.length; index++) out[index] = apply(x[index] ?? 0);
}

/** Steps of each axis of `shape` when it is broadcast to `target`: 0 where it repeats. */
function strides(shape: Shape, target: Shape): number[] {
  const steps = new Array<number>(target.length).fill(0);
  let step = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const size = shape[axis] ?? 1;
    if (size !== 1) steps[axis + target.length - shape.length] = step;
    step *= size;
  }
  return steps;
}

/** Calls `visit` with the flat index of the target and of both operands, in order. */
function broadcast(target: Shape, a: Shape, b: Shape, visit: (out: number, a: number, b: number) => void): void {
  const [left, right] = [strides(a, target), strides(b, target)];
  const place = new Array<number>(target.length).fill(0);
  const count = target.reduce((product, size) => product * size, 1);
  let [i, j] = [0, 0];
  for (let out = 0; out < count; out++) {
    visit(out, i, j);
    for (let axis = target.length - 1; axis >= 0; axis--) {
      const next = (place[axis] ?? 0) + 1;
      i += left[axis] ?? 0;
      j += right[axis] ?? 0;
      if (next < (target[axis] ?? 0)) {
        place[axis] = next;
        break;
      }
      place[axis] = 0;
      i -= (left[axis] ?? 0) * next;
      j -= (right[axis] ?? 0) * next;
    }
  }
}

export function zip(
  a: Float32Array,
  aShape: Shape,
  b: Float32Array | number,
  bShape: Shape,
  op: BinaryOp,
  out: Float32Array,
  shape: Shape,
): void {
  const apply = binary[op];
  if (typeof b === 'number') {
    for (let index = 0; index < a.length; index++) out[index] = apply(a[index] ?? 0, b);
    return;
  }
  broadcast(shape, aShape, bShape, (at, i, j) => {
    out[at] = apply(a[i] ?? 0, b[j] ?? 0);
  });
}

/** Values of the last step of a formula, each step rounded to f32. */
export function evaluate(
  tensors: readonly { readonly values: Float32Array; readonly shape: Shape }[],
  steps: readonly FormulaStep[],
): Float32Array {
  const operands = [...tensors];
  const at = (index: number) => operands[index] ?? { values: new Float32Array(), shape: [] };
  for (const step of steps) {
    const a = at(step.a);
    const b = 'b' in step ? at(step.b) : { values: 'number' in step ? step.number : 0, shape: [] };
    const shape = broadcastShape(a.shape, b.shape) ?? a.shape;
    const values = new Float32Array(elementCount(shape));
    if ('b' in step || 'number' in step) zip(a.values, a.shape, b.values, b.shape, step.op, values, shape);
    else map(a.values, step.op, values);
    operands.push({ values, shape });
  }
  return operands.at(-1)?.values ?? new Float32Array();
}

/** Sizes before, of and after an axis. */
function around(shape: Shape, axis: number): readonly [before: number, size: number, after: number] {
  const product = (sizes: Shape) => sizes.reduce((all, size) => all * size, 1);
  return [product(shape.slice(0, axis)), shape[axis] ?? 1, product(shape.slice(axis + 1))];
}

export function reduce(x: Float32Array, shape: Shape, axis: number, op: ReduceOp, out: Float32Array): void {
  const [before, size, after] = around(shape, axis);
  const values = new Float64Array(size);
  for (let i = 0; i < before; i++) {
    for (let j = 0; j < after; j++) {
      for (let k = 0; k < size; k++) values[k] = x[(i * size + k) * after + j] ?? 0;
      out[i * after + j] = summarise(values, op);
    }
  }
}

function summarise(values: Float64Array, op: ReduceOp): number {
  if (op === 'max') return values.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  if (op === 'min') return values.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
  const sum = values.reduce((a, b) => a + b, 0);
  if (op === 'sum') return sum;
  const mean = sum / values.length;
  if (op === 'mean') return mean;
  return values.reduce((total, value) => total + (value - mean) ** 2, 0) / (values.length - 1);
}

/** Calls `visit` for each row along the last axis. */
function rows(x: Float32Array, shape: Shape, visit: (row: Float32Array, first: number) => void): void {
  const size = shape.at(-1) ?? 1;
  for (let first = 0; first < x.length; first += size) visit(x.subarray(first, first + size), first);
}

/** Fraction dropped; NaN becomes 0 and what i32 cannot hold its nearest end. */
export function toInt(x: Float32Array, out: Int32Array): void {
  for (const [index, value] of x.entries()) out[index] = Math.max(-(2 ** 31), Math.min(2 ** 31 - 1, value));
}

export function softmax(x: Float32Array, shape: Shape, out: Float32Array): void {
  rows(x, shape, (row, first) => {
    const top = row.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
    let sum = 0;
    for (const value of row) sum += Math.exp(value - top);
    row.forEach((value, index) => {
      out[first + index] = Math.exp(value - top) / sum;
    });
  });
}

export function cumsum(x: Float32Array, shape: Shape, out: Float32Array): void {
  rows(x, shape, (row, first) => {
    let sum = 0;
    row.forEach((value, index) => {
      sum += value;
      out[first + index] = sum;
    });
  });
}

export function rank(x: Float32Array, shape: Shape, out: Float32Array): void {
  rows(x, shape, (row, first) => {
    // NaN last, so that the order is one for all contents.
    const key = (index: number) => (Number.isNaN(row[index]) ? Number.POSITIVE_INFINITY : (row[index] ?? 0));
    const order = Array.from(row.keys()).sort((a, b) => {
      const late = Number(Number.isNaN(row[a])) - Number(Number.isNaN(row[b]));
      return late || (key(a) === key(b) ? a - b : key(a) - key(b));
    });
    order.forEach((index, position) => {
      out[first + index] = position;
    });
  });
}

export function matmul(
  a: Float32Array,
  aShape: Shape,
  b: Float32Array,
  bShape: Shape,
  transposeB: boolean,
  out: Float32Array,
  shape: Shape,
): void {
  const [rowCount = 0, inner = 0] = aShape.slice(-2);
  const columns = shape.at(-1) ?? 0;
  const [rowStep, columnStep] = transposeB ? [1, inner] : [columns, 1];
  broadcast(shape.slice(0, -2), aShape.slice(0, -2), bShape.slice(0, -2), (batch, i, j) => {
    const [fromA, fromB, to] = [i * rowCount * inner, j * inner * columns, batch * rowCount * columns];
    for (let row = 0; row < rowCount; row++) {
      for (let column = 0; column < columns; column++) {
        let sum = 0;
        for (let k = 0; k < inner; k++)
          sum += (a[fromA + row * inner + k] ?? 0) * (b[fromB + k * rowStep + column * columnStep] ?? 0);
        out[to + row * columns + column] = sum;
      }
    }
  });
}

export function covariance(
  x: Float32Array,
  [rows = 0, columns = 0]: Shape,
  { heads, first = 0 }: CovarianceOptions,
  mean: Float32Array,
  out: Float32Array,
): void {
  const headDim = columns / heads;
  const means = Float64Array.from({ length: columns }, (_, column) => {
    let sum = 0;
    for (let row = first; row < rows; row++) sum += x[row * columns + column] as number;
    return sum / (rows - first);
  });
  mean.set(means);
  for (let at = 0; at < out.length; at++) {
    const head = Math.floor(at / headDim ** 2) * headDim;
    const [a, b] = [head + (Math.floor(at / headDim) % headDim), head + (at % headDim)];
    const [meanA, meanB] = [means[a] ?? 0, means[b] ?? 0];
    let sum = 0;
    for (let row = first; row < rows; row++)
      sum += ((x[row * columns + a] as number) - meanA) * ((x[row * columns + b] as number) - meanB);
    out[at] = sum / (rows - first);
  }
}

/** Any array of numbers that elements are copied between. */
interface Elements {
  readonly length: number;
  [index: number]: number;
}

export function slice(x: Elements, shape: Shape, axis: number, start: number, end: number, out: Elements): void {
  const [before, size, after] = around(shape, axis);
  const width = (end - start) * after;
  for (let i = 0; i < before; i++) {
    for (let k = 0; k < width; k++) out[i * width + k] = x[(i * size + start) * after + k] ?? 0;
  }
}

export function concat(
  parts: readonly { readonly data: Elements; readonly shape: Shape }[],
  axis: number,
  out: Elements,
  shape: Shape,
): void {
  const [before, size, after] = around(shape, axis);
  let offset = 0;
  for (const { data, shape: own } of parts) {
    const width = (own[axis] ?? 0) * after;
    for (let i = 0; i < before; i++)
      for (let k = 0; k < width; k++) out[i * size * after + offset + k] = data[i * width + k] ?? 0;
    offset += width;
  }
}

export function transpose(x: Elements, shape: Shape, order: readonly number[], out: Elements): void {
  const steps = strides(shape, shape).map((step, axis) => ((shape[axis] ?? 1) === 1 ? 0 : step));
  const target = order.map((axis) => shape[axis] ?? 0);
  const source = order.map((axis) => steps[axis] ?? 0);
  const place = new Array<number>(target.length).fill(0);
  const count = target.reduce((product, size) => product * size, 1);
  let from = 0;
  for (let at = 0; at < count; at++) {
    out[at] = x[from] ?? 0;
    for (let axis = target.length - 1; axis >= 0; axis--) {
      const next = (place[axis] ?? 0) + 1;
      from += source[axis] ?? 0;
      if (next < (target[axis] ?? 0)) {
        place[axis] = next;
        break;
      }
      place[axis] = 0;
      from -= (source[axis] ?? 0) * next;
    }
  }
}
