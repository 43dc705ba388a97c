import { type BinaryOp, binaryOps, type FormulaStep, type UnaryOp, unaryOps } from '@kvsift/tensor';

const codes = new Map<UnaryOp | BinaryOp, number>([...unaryOps, ...binaryOps].map((op, code) => [op, code]));

/** Steps as the addon reads them: code, operand, kind of the other one (0 none, 1 an operand, 2 a number), and that one. */
export function stepNumbersOf(steps: readonly FormulaStep[]): Float64Array {
  return Float64Array.from(
    steps.flatMap((step) => [
      codes.get(step.op) ?? -1,
      step.a,
      ...('b' in step ? [1, step.b] : 'number' in step ? [2, step.number] : [0, 0]),
    ]),
  );
}
