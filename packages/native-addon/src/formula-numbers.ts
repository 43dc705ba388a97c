import { type BinaryOp, binaryOps, type FormulaStep, type UnaryOp, unaryOps } from '@kvsift/tensor';

const codes = Object.fromEntries([...unaryOps, ...binaryOps].map((op, code) => [op, code])) as Record<UnaryOp | BinaryOp, number>;

/** Steps as the addon reads them: code, operand, kind of the other one (0 none, 1 an operand, 2 a number), and that one. */
export function stepNumbersOf(steps: readonly FormulaStep[]): Float64Array {
  const out = new Float64Array(4 * steps.length);
  for (const [index, step] of steps.entries()) {
    out[4 * index] = codes[step.op];
    out[4 * index + 1] = step.a;
    if ('b' in step) {
      out[4 * index + 2] = 1;
      out[4 * index + 3] = step.b;
    } else if ('number' in step) {
      out[4 * index + 2] = 2;
      out[4 * index + 3] = step.number;
    }
  }
  return out;
}
