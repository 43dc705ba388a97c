import { KvsiftError } from '../errors.js';
import type { Formula, FormulaStep, Reduction, Steps } from '../formula.js';
import { type BinaryOp, binaryOps, type UnaryOp, unaryOps } from '../op-options.js';
import { broadcastShape, formatShape, type Shape, sameShape } from '../shape.js';
import type { Tensor } from '../tensor.js';
import { demand, dtypeIs, integer } from './check.js';

/** Most ops and most tensors of a formula. */
const mostOperands = 32;

const unary: ReadonlySet<string> = new Set(unaryOps);
const binary: ReadonlySet<string> = new Set(binaryOps);

/** The steps of a formula, its shape before and after the reduction, and the reduced axis counted from the front. */
export interface CheckedFormula extends Steps {
  readonly whole: Shape;
  readonly shape: Shape;
  readonly axis?: number;
}

/**
 * Takes a formula apart into tensors and steps, each once, and finds its shape: f32 operands broadcast as NumPy does; a reduction goes along one of the last two axes.
 * @throws KvsiftError `shape_mismatch`, `dtype_mismatch`, `invalid_argument` for an unknown op, a wrong number of operands, or more than 32 ops or tensors
 */
export function checkEvaluate(formula: Formula, reduction?: Reduction): CheckedFormula {
  const { tensors, steps } = flattened(formula);
  let whole: Shape = [];
  for (const { shape } of tensors) whole = broadcast(whole, shape);
  if (reduction === undefined) return { tensors, steps, whole, shape: whole };
  const rank = whole.length;
  integer('evaluate', 'axis', reduction.axis, -rank, rank - 1);
  const axis = reduction.axis < 0 ? reduction.axis + rank : reduction.axis;
  demand(axis >= rank - 2, 'evaluate', `axis ${reduction.axis} is none of the last two of ${formatShape(whole)}`);
  return { tensors, steps, whole, shape: whole.filter((_, at) => at !== axis), axis };
}

/** This runs for every step of decoding in every layer: lists are so short that searching them is faster than a map. */
function flattened(formula: Formula): Steps {
  const tensors: Tensor[] = [];
  const parts: Formula[] = [];
  const steps: { op: UnaryOp | BinaryOp; a: number; b?: number; number?: number }[] = [];
  /** Index of a tensor, or ~index of a step, which tensors still to be found will move. */
  const operand = (part: Formula): number => {
    if (!Array.isArray(part)) return indexOfTensor(part as Tensor, tensors);
    const known = parts.indexOf(part);
    if (known >= 0) return ~known;
    const [op, a, b] = part as readonly [UnaryOp | BinaryOp, Formula, (Formula | number)?];
    const wanted = unary.has(op) ? 2 : 3;
    demand(wanted === 2 || binary.has(op), 'evaluate', `there is no op ${JSON.stringify(op)}`);
    const given = part.filter((operand) => operand !== undefined).length;
    demand(given === wanted && part.length === wanted, 'evaluate', `${op} takes ${wanted - 1} operands, not ${given - 1}`);
    const left = operand(a);
    if (b === undefined) steps.push({ op, a: left });
    else if (typeof b === 'number') steps.push({ op, a: left, number: b });
    else steps.push({ op, a: left, b: operand(b) });
    return ~(parts.push(part) - 1);
  };
  operand(formula);
  for (const [name, { length }] of [['ops', steps] as const, ['tensors', tensors] as const]) {
    demand(length >= 1 && length <= mostOperands, 'evaluate', `a formula needs 1 to ${mostOperands} ${name}, not ${length}`);
  }
  const placed = (at: number) => (at < 0 ? tensors.length + ~at : at);
  for (const step of steps) {
    step.a = placed(step.a);
    if (step.b !== undefined) step.b = placed(step.b);
  }
  return { tensors, steps: steps as readonly FormulaStep[] };
}

function indexOfTensor(tensor: Tensor, tensors: Tensor[]): number {
  const known = tensors.indexOf(tensor);
  if (known >= 0) return known;
  if (typeof tensor !== 'object') {
    throw new KvsiftError('dtype_mismatch', `evaluate: ${String(tensor)} stands where a tensor must`, { op: 'evaluate' });
  }
  dtypeIs('evaluate', 'every tensor', tensor, 'f32');
  return tensors.push(tensor) - 1;
}

function broadcast(a: Shape, b: Shape): Shape {
  if (sameShape(a, b)) return a;
  const shape = broadcastShape(a, b);
  if (shape !== undefined) return shape;
  throw new KvsiftError('shape_mismatch', `evaluate: ${formatShape(a)} and ${formatShape(b)} do not broadcast`, {
    op: 'evaluate',
  });
}
