import type { BinaryOp, ReduceOp, UnaryOp } from './op-options.js';
import type { Tensor } from './tensor.js';

/**
 * What `evaluate` computes: `['mul', ['exp', x], y]` is e^x · y. One and the same array in several places is computed once. Numbers come second, as in
 * `zip`.
 */
export type Formula = Tensor | readonly [op: UnaryOp, x: Formula] | readonly [op: BinaryOp, a: Formula, b: Formula | number];

/** An axis that `evaluate` reduces away, one of the last two (negative counts from the end). */
export interface Reduction {
  readonly axis: number;
  readonly op: ReduceOp;
}

/** One op of a formula. Operands are the formula's tensors, then the steps before. */
export type FormulaStep =
  | { readonly op: UnaryOp; readonly a: number }
  | { readonly op: BinaryOp; readonly a: number; readonly b: number }
  | { readonly op: BinaryOp; readonly a: number; readonly number: number };

/** A formula as a list of steps, each behind its operands; the last gives the result. */
export interface Steps {
  readonly tensors: readonly Tensor[];
  readonly steps: readonly FormulaStep[];
}
