import { type Budget, type EvictionPolicy, isScored } from '@kvsift/policy';
import { evict, type LayerInputs, repeatHeads, scoresOf } from '@kvsift/policy-testkit';
import type { Finding } from '../../forward/compare.js';
import type { FamilyRun } from '../case-file.js';
import { rowsOf, sameKept, sameScores } from '../compare.js';

export interface ScoredCase {
  readonly case: string;
  readonly policy: EvictionPolicy;
  readonly inputs: LayerInputs;
  readonly budget: Budget;
  readonly counting?: 'floor' | 'kvpress';
  readonly layer?: number;
  readonly layers?: number;
  /** Name of the kept tensor; default `<case>.kept`. */
  readonly kept?: string;
  /** Columns of the golden scores that are scored; default all that the golden has. */
  readonly columns?: { readonly first: number; readonly end: number };
  readonly slack?: number;
}

/** Golden scores and kept slots against what a scored policy gives. */
export async function checkScored(run: FamilyRun, scored: ScoredCase): Promise<Record<string, Finding>> {
  const { backend, golden } = run;
  const { policy, inputs, columns, slack = 0 } = scored;
  const kept = await golden.integers(scored.kept ?? `${scored.case}.kept`);
  const name = `${scored.case}.scores`;
  const expected = golden.has(name) ? await golden.floats(name) : undefined;
  const ours = isScored(policy) ? await scoresOf(backend, policy, inputs, scored) : undefined;
  const result = await evict(backend, policy, inputs, scored);
  // Scores of the golden tell what is protected by their size; ours do not.
  const ties = expected ? { scores: expected } : ours && { scores: ours, ...(columns && { columns }) };
  return {
    ...(expected && ours && { scores: sameScores(ours, expected, inputs.kvHeads, undefined, columns) }),
    kept: sameKept(result.kept, rowsOf(kept, inputs.kvHeads), {
      slack,
      ...ties,
      ...(columns && { columns }),
    }),
  };
}

/** Inputs as the reference sees them: keys repeated to all query heads where it does not reduce groups. */
export async function inputFor(run: FamilyRun, name: string, perQueryHead: boolean): Promise<LayerInputs> {
  const inputs = await run.input(name);
  return perQueryHead ? repeatHeads(inputs) : inputs;
}

/** Budget of a number of entries. */
export const entries = (tokens: number): Budget => ({ kind: 'tokens', tokens });

/** Budget after removing a ratio with at most four decimals. */
export function keeping(removed: number): Budget {
  const denominator = 10000;
  return { kind: 'share', numerator: denominator - Math.round(removed * denominator), denominator };
}
