import type { SequenceContext } from './contract.js';
import { fitProtection, type Protection, type ScoredPolicy, type Scoring } from './scored.js';

/** The scoring of a wrapped policy with other budgets per layer. */
export function withBudgets(policy: ScoredPolicy, allocate: Scoring['allocate']): Scoring {
  const { remaining: _remaining, ...scoring } = policy.scoring;
  return { ...scoring, allocate };
}

/** Protection of each layer, fitted to its budget. @throws KvsiftError `budget_invalid` */
export function layerProtections(name: string, { protect, allocate }: Scoring, context: SequenceContext): Protection[] {
  return allocate(context).map(({ perHead }) => fitProtection(name, protect, perHead, context));
}
