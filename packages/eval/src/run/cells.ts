import {
  type Budget,
  budgetsFor,
  type EvictionPolicy,
  formatBudget,
  formatPolicy,
  namedBudget,
  outsideVersions,
  type PolicyRegistry,
  parseBudget,
} from '@kvsift/policy';
import { KvsiftError } from '@kvsift/tensor';

/** One way to treat the cache: a column of every table. */
export interface Cell {
  /** Expression with all parameters, for results; `full` keeps everything. */
  readonly policy: string;
  /** As the user wrote it, for tables; a policy from outside by its name. */
  readonly label: string;
  /** As `formatBudget` writes it; `ownBudget` for a policy that ignores budgets. */
  readonly budget: string;
  /** As `outsideVersions` tells them; absent where nothing of the policy comes from outside. */
  readonly outside?: Readonly<Record<string, string>>;
  readonly setting: { readonly policy?: EvictionPolicy; readonly budget?: Budget };
}

/** The full cache, which is always run beside the others. */
export const fullCell: Cell = { policy: 'full', label: 'full', budget: '100%', setting: {} };

/**
 * All pairs of policies and budgets, the full cache first, each once; a policy that ignores budgets stands alone.
 * @throws KvsiftError `policy_unknown`, `policy_invalid`, `budget_invalid`
 */
export function expandCells(policies: readonly string[], budgets: readonly string[], registry: PolicyRegistry): Cell[] {
  const cells = new Map([['full 100%', fullCell]]);
  // One spelling: 20.0% is 20%.
  const spelt = budgets.map((written) => formatBudget(parseBudget(written)));
  for (const label of policies) {
    const policy = registry.parse(label);
    const shown = registry.label?.(label) ?? label;
    if (policy.name === 'full') continue;
    const outside = outsideVersions(policy, registry);
    const isOutside = Object.keys(outside).length > 0;
    if (spelt.length === 0 && policy.ignoresBudget !== true) {
      throw new KvsiftError(
        'budget_invalid',
        `${shown} needs budgets: 512 (tokens), 20% (of the prompt) or 64MiB (whole cache)`,
        { policy: label },
      );
    }
    for (const budget of budgetsFor(policy, spelt)) {
      const text = formatPolicy(policy);
      const key = `${text} ${budget}`;
      if (cells.has(key)) continue;
      const setting = { policy, ...namedBudget(budget) };
      cells.set(key, { policy: text, label: shown, budget, ...(isOutside && { outside }), setting });
    }
  }
  return [...cells.values()];
}
