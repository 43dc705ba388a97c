import { layoutKinds } from '@kvsift/cache';
import type { Budget } from '@kvsift/policy';
import { KvsiftError, kvTypes } from '@kvsift/tensor';
import type { SessionOptions } from './session-options.js';

const budgetKinds: readonly Budget['kind'][] = ['tokens', 'share', 'bytes'];

/** What callers without types may get wrong. @throws KvsiftError `invalid_argument` naming the option, `budget_invalid` */
export function checkSessionOptions({ policy, budget, kvType, layout }: SessionOptions): void {
  demandOneOf('kvType', kvType, kvTypes);
  demandOneOf('layout', layout, layoutKinds);
  if (policy !== undefined && typeof policy?.begin !== 'function') {
    throw new KvsiftError(
      'invalid_argument',
      `policy must be a policy such as snapkv(), not ${JSON.stringify(policy) ?? `a ${typeof policy}`}: allPolicies().parse of @kvsift/policies makes one of an expression`,
    );
  }
  if (typeof budget !== 'object') return;
  if (budget === null)
    throw new KvsiftError('invalid_argument', 'budget must be tokens (512), a share ("20%") or bytes ("64MiB"), not null');
  demandOneOf('budget.kind', budget.kind ?? 'none', budgetKinds);
  const { kind: _kind, ...numbers } = budget;
  if (Object.values(numbers).every((value) => Number.isFinite(value) && value > 0)) return;
  throw new KvsiftError('budget_invalid', `a budget has numbers above 0, not ${JSON.stringify(numbers)}`);
}

function demandOneOf(name: string, value: string | undefined, known: readonly string[]): void {
  if (value === undefined || known.includes(value)) return;
  throw new KvsiftError('invalid_argument', `${name} must be one of ${known.join(', ')}, not ${JSON.stringify(value)}`);
}
