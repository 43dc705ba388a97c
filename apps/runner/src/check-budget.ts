import type { LanguageModel, SessionOptions } from '@kvsift/engine';
import { formatBudget, parseBudget } from '@kvsift/policy';
import { formatBytes } from '@kvsift/report';
import { KvsiftError } from '@kvsift/tensor';

/**
 * A budget that keeps more than the prompt has is a slip: nothing would be evicted.
 * @throws KvsiftError `budget_invalid`
 */
export function checkBudget(model: LanguageModel, { budget, policy, kvType }: SessionOptions, promptTokens: number): void {
  if (budget === undefined || policy === undefined) return;
  const parsed = typeof budget === 'object' ? budget : parseBudget(`${budget}`);
  if (parsed.kind === 'share') return;
  const whole =
    parsed.kind === 'tokens' ? promptTokens : model.estimate({ context: promptTokens, ...(kvType && { kvType }) }).fullCache;
  if ((parsed.kind === 'tokens' ? parsed.tokens : parsed.bytes) <= whole) return;
  const size = parsed.kind === 'tokens' ? `${promptTokens} tokens` : `${formatBytes(whole)} of cache`;
  throw new KvsiftError(
    'budget_invalid',
    `budget ${formatBudget(parsed)} is larger than the prompt (${size}): nothing would be evicted; leave --policy out for the full cache`,
    { budget: formatBudget(parsed), promptTokens },
  );
}
