import { allPolicies } from '@kvsift/policies';
import { describe, expect, it } from 'vitest';
import { expandCells } from './cells.js';

describe('cells', () => {
  it('need budgets only for policies that have some', () => {
    const own = ['full', 'threshold(knorm, threshold=-4)'];
    expect(expandCells(own, [], allPolicies()).map(({ budget }) => budget)).toEqual(['100%', 'own']);
    expect(() => expandCells([...own, 'snapkv(window=8)'], [], allPolicies())).toThrow(
      expect.objectContaining({
        code: 'budget_invalid',
        message: expect.stringContaining('snapkv(window=8) needs budgets: 512'),
      }),
    );
  });
});
