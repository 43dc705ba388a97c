import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatBudget, parseBudget, resolveBudgets, shareOf } from './budget.js';
import type { Budget, SequenceContext } from './contract.js';

const model = { layers: 3, queryHeads: 4, kvHeads: 2, headDim: 8, hidden: 32, entryBytes: 64 };
const context = (budget: Budget, promptLength = 100): SequenceContext => ({ model, promptLength, budget, seed: 0, sequence: 0 });

describe('parseBudget', () => {
  it.each([
    ['512', { kind: 'tokens', tokens: 512 }],
    ['20%', { kind: 'share', numerator: 1, denominator: 5 }],
    ['12.5%', { kind: 'share', numerator: 1, denominator: 8 }],
    ['64MiB', { kind: 'bytes', bytes: 64 * 2 ** 20 }],
    ['1.5 kB', { kind: 'bytes', bytes: 1500 }],
  ] as const)('reads %s', (text, budget) => {
    expect(parseBudget(text)).toEqual(budget);
  });

  it.each(['', '0', '-5', '0%', '101%', '12.5', 'many', '5 miles', '1e3', '0.0001B'])('refuses %j', (text) => {
    expect(() => parseBudget(text)).toThrow(expect.objectContaining({ code: 'budget_invalid' }));
  });

  it('reads back what formatBudget writes', () => {
    const budgets = fc.oneof(
      fc.integer({ min: 1, max: 1e9 }).map((tokens): Budget => ({ kind: 'tokens', tokens })),
      fc.integer({ min: 1, max: 10000 }).map((share) => parseBudget(`${share / 100}%`)),
      fc.integer({ min: 1, max: 2 ** 40 }).map((bytes): Budget => ({ kind: 'bytes', bytes })),
    );
    fc.assert(
      fc.property(budgets, (budget) => {
        expect(parseBudget(formatBudget(budget))).toEqual(budget);
      }),
    );
  });
});

describe('shareOf', () => {
  it('is exact where floating point is not, and repeats kvpress on request', () => {
    expect(shareOf(10, { numerator: 1, denominator: 10 })).toBe(1);
    expect(shareOf(800, { numerator: 1, denominator: 5 })).toBe(160);
    expect(shareOf(800, { numerator: 1, denominator: 5 }, 'kvpress')).toBe(159);
    expect(shareOf(100, { numerator: 66, denominator: 100 })).toBe(66);
  });

  it('never exceeds the share and keeps at least one', () => {
    const cases = fc.tuple(fc.integer({ min: 1, max: 1e6 }), fc.integer({ min: 1, max: 1000 }));
    fc.assert(
      fc.property(cases, ([tokens, numerator]) => {
        const kept = shareOf(tokens, { numerator, denominator: 1000 });
        expect(kept).toBeGreaterThanOrEqual(1);
        expect(kept).toBe(Math.max(1, Number((BigInt(tokens) * BigInt(numerator)) / 1000n)));
      }),
    );
  });
});

describe('resolveBudgets', () => {
  it('spends bytes to the last whole layer and never exceeds them', () => {
    fc.assert(
      fc.property(fc.integer({ min: 384, max: 1e6 }), (bytes) => {
        const budgets = resolveBudgets(context({ kind: 'bytes', bytes }));
        const used = budgets.reduce((sum, { total }) => sum + total, 0) * model.entryBytes;
        expect(used).toBeLessThanOrEqual(bytes);
        expect(bytes - used).toBeLessThan(model.kvHeads * model.entryBytes);
      }),
    );
  });

  it('says how many bytes one token takes where they are too few', () => {
    expect(() => resolveBudgets(context({ kind: 'bytes', bytes: 383 }))).toThrow(/needs 384 bytes per token/);
  });
});
