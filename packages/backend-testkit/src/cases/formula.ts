import {
  type Backend,
  binaryOps,
  type Formula,
  type ReduceOp,
  type Reduction,
  type Shape,
  scoped,
  type Tensor,
  unaryOps,
} from '@kvsift/tensor';
import { agree, identical, outcome } from '../agree.js';
import type { Bench, Case } from '../case.js';
import { floatTensor } from '../inputs.js';

const reductions: readonly ReduceOp[] = ['sum', 'max', 'variance'];

/** What the ops give one after the other. */
function stepByStep(backend: Backend, formula: Formula, reduction?: Reduction): Tensor {
  const value = (part: Formula): Tensor => {
    if (!Array.isArray(part)) return part as Tensor;
    const [op, a, b] = part;
    if (b === undefined) return backend.map(value(a), op);
    return backend.zip(value(a), typeof b === 'number' ? b : value(b), op);
  };
  const whole = value(formula);
  return reduction === undefined ? whole : backend.reduce(whole, reduction.axis, reduction.op);
}

const shapes: readonly (readonly [x: Shape, y: Shape])[] = [
  [[], []],
  [[5], []],
  [[3000], [3000]],
  [[4500], [1]],
  [
    [600, 1],
    [1, 1],
  ],
  [
    [33, 17],
    [33, 1],
  ],
  [[33, 17], [17]],
  [
    [2, 4500],
    [1, 4500],
  ],
  [
    [600, 20],
    [600, 1],
  ],
  [
    [2, 3, 1, 65],
    [3, 70, 1],
  ],
  [
    [0, 4],
    [1, 4],
  ],
];

const formulas: Readonly<Record<string, (x: Tensor, y: Tensor) => Formula>> = {
  'every op of one operand': (x, y) => unaryOps.reduce<Formula>((inner, op) => [op, ['max', ['min', inner, 4], y]], x),
  'every op of two operands': (x, y) => binaryOps.reduce<Formula>((inner, op) => [op, ['mul', inner, 0.5], ['abs', y]], x),
  'an op of each operand': (x, y) => ['sub', ['exp', ['neg', x]], ['square', y]],
  'one op': (x, y) => ['add', x, y],
  'one operand twice': (x) => ['mul', x, x],
};

/** Bits of `evaluate` and of its ops one after the other are equal on one backend, whole and reduced. */
async function sameAsSteps({ actual }: Bench, make: (x: Tensor, y: Tensor) => Formula): Promise<void> {
  for (const [index, [xShape, yShape]] of shapes.entries()) {
    const rank = Math.max(xShape.length, yShape.length);
    const axes = [-1, -2].filter((axis) => rank + axis >= 0);
    const all: readonly (Reduction | undefined)[] = [
      undefined,
      ...axes.flatMap((axis) => reductions.map((op) => ({ axis, op }))),
    ];
    for (const reduction of all) {
      const built = (evaluated: boolean) =>
        outcome(actual, (backend) => {
          const formula = make(floatTensor(backend, 140 + index, xShape), floatTensor(backend, 160 + index, yShape, 'outliers'));
          return { result: evaluated ? backend.evaluate(formula, reduction) : stepByStep(backend, formula, reduction) };
        });
      const [found, expected] = [await built(true), await built(false)];
      identical(
        `[${xShape}] with [${yShape}], ${reduction ? `${reduction.op} of axis ${reduction.axis}` : 'whole'}`,
        found.result,
        expected.result,
      );
    }
  }
}

async function holdsNothing({ actual }: Bench): Promise<void> {
  using scope = scoped(actual);
  const x = floatTensor(scope.backend, 183, [64, 4096]);
  actual.resetPeak();
  const before = (await actual.finish()).memory.bytes;
  scope.backend.evaluate(['sqrt', ['add', ['square', x], ['square', ['exp', x]]]], { axis: 1, op: 'mean' });
  const extra = (await actual.finish()).memory.peakBytes - before;
  if (extra > 4096) throw new Error(`${extra} bytes besides the operand`);
}

/** evaluate */
export function formulaCases(): Case[] {
  return [
    ...Object.entries(formulas).map(
      ([title, make]): Case => ({
        op: 'evaluate',
        title: `${title}, as map, zip and reduce`,
        run: (bench) => sameAsSteps(bench, make),
      }),
    ),
    {
      op: 'evaluate',
      title: 'agrees with the reference',
      run: (bench) =>
        agree(
          bench,
          (backend) => {
            const [x, y] = [floatTensor(backend, 181, [3, 50, 64]), floatTensor(backend, 182, [3, 1, 64])];
            const shared: Formula = ['sub', x, y];
            const formula: Formula = ['div', ['exp', shared], ['add', ['square', shared], 1]];
            return {
              whole: backend.evaluate(formula),
              columns: backend.evaluate(formula, { axis: 2, op: 'sum' }),
              rows: backend.evaluate(formula, { axis: 1, op: 'variance' }),
            };
          },
          { relative: 10 * bench.tolerance.element, ofLargest: 10 * bench.tolerance.element },
        ),
    },
    { op: 'evaluate', title: 'tensors in between are never held', run: holdsNothing },
  ];
}
