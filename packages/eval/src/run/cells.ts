import { type Budget, type EvictionPolicy, formatPolicy, type PolicyRegistry, parseBudget } from '@kvsift/policy';

/** One way to treat the cache: a column of every table. */
export interface Cell {
  /** Expression with all parameters, for results; `full` keeps everything. */
  readonly policy: string;
  /** As the user wrote it, for tables. */
  readonly label: string;
  readonly budget: string;
  readonly setting: { readonly policy?: EvictionPolicy; readonly budget?: Budget };
}

/** The full cache, which is always run beside the others. */
export const fullCell: Cell = { policy: 'full', label: 'full', budget: '100%', setting: {} };

/**
 * All pairs of policies and budgets, the full cache first, each once.
 * @throws KvsiftError `policy_unknown`, `policy_invalid`, `budget_invalid`
 */
export function expandCells(policies: readonly string[], budgets: readonly string[], registry: PolicyRegistry): Cell[] {
  const cells = new Map([['full 100%', fullCell]]);
  for (const label of policies) {
    const policy = registry.parse(label);
    if (policy.name === 'full') continue;
    for (const budget of budgets) {
      const text = formatPolicy(policy);
      const key = `${text} ${budget}`;
      if (!cells.has(key)) cells.set(key, { policy: text, label, budget, setting: { policy, budget: parseBudget(budget) } });
    }
  }
  return [...cells.values()];
}
