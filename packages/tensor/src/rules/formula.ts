import { KvsiftError } from '../errors.js';
import type { Formula, FormulaStep, Reduction, Steps } from '../formula.js';
import { type BinaryOp, binaryOps, type UnaryOp, unaryOps } from '../op-options.js';
import { broadcastShape, formatShape, type Shape } from '../shape.js';
import type { Tensor } from '../tensor.js';
import { demand, dtypeIs, integer } from './check.js';

/** Where an op takes its operand from. Tensors are counted only at the end, so that steps can follow them. */
type Operand = { readonly tensor: number } | { readonly step: number };
type Unplaced = { readonly op: UnaryOp | BinaryOp; readonly a: Operand; readonly b?: Operand; readonly number?: number };

/** Most ops and most tensors of a formula. */
const mostOperands = 32;

/** The steps of a formula, its shape before and after the reduction, and the reduced axis counted from the front. */
export interface CheckedFormula extends Steps {
  readonly whole: Shape;
  readonly shape: Shape;
  readonly axis?: number;
}

export function checkEvaluate(formula: Formula, reduction?: Reduction): CheckedFormula {
  const tensors = new Map<Tensor, number>();
  const places = new Map<Formula, number>();
  const unplaced: Unplaced[] = [];
  const operand = (part: Formula): Operand => {
    if (!Array.isArray(part)) {
      const tensor = part as Tensor;
      if (typeof tensor !== 'object') {
        throw new KvsiftError('dtype_mismatch', `evaluate: ${String(tensor)} stands where a tensor must`, { op: 'evaluate' });
      }
      dtypeIs('evaluate', 'every tensor', tensor, 'f32');
      const at = tensors.get(tensor) ?? tensors.size;
      tensors.set(tensor, at);
      return { tensor: at };
    }
    const known = places.get(part);
    if (known !== undefined) return { step: known };
    const [op, a, b] = part as readonly [UnaryOp | BinaryOp, Formula, (Formula | number)?];
    const wanted = isUnary(op) ? 2 : 3;
    demand(isUnary(op) || isBinary(op), 'evaluate', `there is no op ${JSON.stringify(op)}`, {
      known: [...unaryOps, ...binaryOps],
    });
    demand(
      part.length === wanted,
      'evaluate',
      `${op} takes ${wanted - 1} operand${wanted === 2 ? '' : 's'}, not ${part.length - 1}`,
    );
    const left = operand(a);
    const right = b === undefined ? {} : typeof b === 'number' ? { number: b } : { b: operand(b) };
    places.set(part, unplaced.length);
    unplaced.push({ op, a: left, ...right });
    return { step: unplaced.length - 1 };
  };
  operand(formula);
  demand(
    unplaced.length > 0 && unplaced.length <= mostOperands,
    'evaluate',
    `the formula needs 1 to ${mostOperands} ops, not ${unplaced.length}`,
  );
  demand(tensors.size <= mostOperands, 'evaluate', `the formula has ${tensors.size} tensors, more than ${mostOperands}`);
  const index = (of: Operand) => ('tensor' in of ? of.tensor : tensors.size + of.step);
  const steps = unplaced.map(({ op, a, b, number }) => ({
    op,
    a: index(a),
    ...(b && { b: index(b) }),
    ...(number !== undefined && { number }),
  })) as readonly FormulaStep[];
  const whole = [...tensors.keys()].reduce<Shape>((shape, tensor) => broadcast(shape, tensor.shape), []);
  const found = { tensors: [...tensors.keys()], steps, whole };
  if (reduction === undefined) return { ...found, shape: whole };
  const rank = whole.length;
  integer('evaluate', 'axis', reduction.axis, -rank, rank - 1);
  const axis = reduction.axis < 0 ? reduction.axis + rank : reduction.axis;
  demand(axis >= rank - 2, 'evaluate', `axis ${reduction.axis} is none of the last two of ${formatShape(whole)}`);
  return { ...found, shape: whole.filter((_, at) => at !== axis), axis };
}

function broadcast(a: Shape, b: Shape): Shape {
  const shape = broadcastShape(a, b);
  if (shape !== undefined) return shape;
  throw new KvsiftError('shape_mismatch', `evaluate: ${formatShape(a)} and ${formatShape(b)} do not broadcast`, {
    op: 'evaluate',
  });
}

function isUnary(op: UnaryOp | BinaryOp): op is UnaryOp {
  return (unaryOps as readonly string[]).includes(op);
}

function isBinary(op: UnaryOp | BinaryOp): op is BinaryOp {
  return (binaryOps as readonly string[]).includes(op);
}
