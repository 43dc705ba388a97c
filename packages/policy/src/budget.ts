import { KvsiftError } from '@kvsift/tensor';
import type { Budget, EvictionPolicy, LayerBudget, ModelShape, SequenceContext } from './contract.js';

const unitBytes: Readonly<Record<string, number>> = {
  B: 1,
  kB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
};

/**
 * Reads a budget: `512` (tokens per KV head), `20%` or `12.5%` (of the prompt), `64MiB` (whole cache, all layers).
 * @throws KvsiftError `budget_invalid` for anything else, and where nothing would be kept or a share exceeds 100 %
 */
export function parseBudget(text: string): Budget {
  const match = /^(\d+)(?:\.(\d+))?\s*(%|[A-Za-z]+)?$/.exec(text.trim());
  const [, whole = '', fraction = '', unit = 'tokens'] = match ?? [];
  const numerator = Number(whole + fraction);
  const denominator = 10 ** fraction.length;
  const perUnit = unitBytes[unit];
  if (match === null || !Number.isSafeInteger(numerator) || numerator === 0) throw invalid(text);
  if (unit === '%') {
    if (numerator > 100 * denominator) throw invalid(text);
    return { kind: 'share', ...reduced(numerator, 100 * denominator) };
  }
  if (perUnit !== undefined) {
    const bytes = Math.floor((numerator * perUnit) / denominator);
    if (!Number.isSafeInteger(bytes) || bytes === 0) throw invalid(text);
    return { kind: 'bytes', bytes };
  }
  if (unit !== 'tokens' || fraction !== '') throw invalid(text);
  return { kind: 'tokens', tokens: numerator };
}

/** The text that `parseBudget` reads back to the same budget; bytes in the largest binary unit that divides them. */
export function formatBudget(budget: Budget): string {
  if (budget.kind === 'tokens') return `${budget.tokens}`;
  if (budget.kind === 'share') return `${percent(budget.numerator, budget.denominator)}%`;
  const unit = (['GiB', 'MiB', 'KiB'] as const).find((name) => budget.bytes % (unitBytes[name] ?? 1) === 0) ?? 'B';
  return `${budget.bytes / (unitBytes[unit] ?? 1)}${unit}`;
}

/** What tables name in the place of a budget where a policy's parameters alone say what is kept. */
export const ownBudget = 'own';

/** The budgets at which a policy differs: those given or, where it ignores them, its own alone. */
export function budgetsFor(policy: Pick<EvictionPolicy, 'ignoresBudget'>, budgets: readonly string[]): readonly string[] {
  return policy.ignoresBudget === true ? [ownBudget] : budgets;
}

/** The budget of a session whose budget is named so; none for a policy's own. @throws KvsiftError `budget_invalid` */
export function namedBudget(name: string): { readonly budget?: Budget } {
  return name === ownBudget ? {} : { budget: parseBudget(name) };
}

/**
 * Entries that a share of `tokens` keeps. `floor`: ⌊tokens · numerator / denominator⌋ in integers, at least 1. `kvpress`: what kvpress 0.5.5 gets
 * from the float64 product tokens · (1 − removed), off by one for some inputs (specification 0.6, 37).
 */
export function shareOf(tokens: number, share: { numerator: number; denominator: number }, counting: Counting = 'floor'): number {
  const { numerator, denominator } = share;
  if (counting === 'floor') return Math.max(1, Number((BigInt(tokens) * BigInt(numerator)) / BigInt(denominator)));
  const removed = (denominator - numerator) / denominator;
  return removed >= 1 ? 0 : Math.max(1, Math.trunc(tokens * (1 - removed)));
}

/** How a share of the prompt becomes a count. */
export type Counting = 'floor' | 'kvpress';

/** Budget of one layer in which every KV head keeps `perHead` entries. */
export function uniformLayer(perHead: number, model: Pick<ModelShape, 'kvHeads'>): LayerBudget {
  return { perHead, total: perHead * model.kvHeads };
}

/**
 * Entries per layer for a policy that treats all layers alike: exact integers, whatever the prompt (a budget above it leaves the cache as it is).
 * Bytes are divided over layers and heads, what remains goes to the first layers; the cache's entries never exceed them (a paged layout rounds up to blocks).
 * @throws KvsiftError `budget_invalid` where bytes do not pay for one entry per head and layer
 */
export function resolveBudgets(context: SequenceContext): LayerBudget[] {
  const { model, budget, promptLength, counting } = context;
  const alike = (perHead: number) => Array.from({ length: model.layers }, () => uniformLayer(perHead, model));
  if (budget.kind === 'tokens') return alike(budget.tokens);
  if (budget.kind === 'share') return alike(shareOf(promptLength, budget, counting));
  const entries = Math.floor(budget.bytes / model.entryBytes);
  const perHead = Math.floor(entries / (model.layers * model.kvHeads));
  if (perHead === 0) {
    throw new KvsiftError(
      'budget_invalid',
      `a cache of ${formatBudget(budget)} cannot hold one entry per head: this model needs ${model.layers * model.kvHeads * model.entryBytes} bytes per token`,
      { budget: formatBudget(budget) },
    );
  }
  const larger = Math.floor((entries - perHead * model.layers * model.kvHeads) / model.kvHeads);
  return Array.from({ length: model.layers }, (_, layer) => uniformLayer(layer < larger ? perHead + 1 : perHead, model));
}

function invalid(text: string): KvsiftError {
  return new KvsiftError(
    'budget_invalid',
    `budget '${text}': expected tokens (512), a share of the prompt up to 100% (20%) or bytes of the whole cache (64MiB)`,
    { budget: text },
  );
}

function reduced(numerator: number, denominator: number): { numerator: number; denominator: number } {
  let [a, b] = [numerator, denominator];
  while (b > 0) [a, b] = [b, a % b];
  return { numerator: numerator / a, denominator: denominator / a };
}

/** 100 · numerator / denominator as a decimal; exact for shares that came from decimals. */
function percent(numerator: number, denominator: number): string {
  return Number(((100 * numerator) / denominator).toPrecision(15)).toString();
}
