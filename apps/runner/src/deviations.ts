import { allPolicies } from '@kvsift/policies';
import type { EvictionPolicy } from '@kvsift/policy';

/** How the defaults of the policies in these expressions differ from what was published, one line each; what cannot be parsed is left out. */
export function deviationLines(expressions: readonly string[]): string[] {
  const registry = allPolicies();
  const names = new Set<string>();
  const note = (policy: EvictionPolicy): void => {
    names.add(policy.name);
    for (const value of Object.values(policy.parameters)) {
      if (typeof value === 'object' && 'begin' in value) note(value);
    }
  };
  for (const expression of expressions) {
    try {
      note(registry.parse(expression));
    } catch {
      // A policy from outside: its package tells.
    }
  }
  return [...names].flatMap((name) =>
    (registry.factories.get(name)?.definition.deviations ?? []).map((line) => `${name}: ${line}`),
  );
}
