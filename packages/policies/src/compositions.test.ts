import { describe, expect, it } from 'vitest';
import { allPolicies } from './index.js';

const registry = allPolicies();

describe('compositions', () => {
  it.each([
    ['merging(cake)', 'cake shrinks earlier layers again'],
    ['think(cake)', 'cake shrinks earlier layers again'],
    ['rerotate(think)', 'think corrects attention'],
    ['rerotate(ratchet)', 'ratchet corrects attention'],
    ['ratchet(think(knorm))', 'think corrects attention'],
    ['ratchet(ratchet)', 'ratchet corrects attention'],
    ['merging(think(knorm))', 'think corrects attention'],
    ['merging(ratchet(knorm))', 'ratchet corrects attention'],
    ['think(ratchet)', 'ratchet corrects attention'],
    ['think(think)', 'think corrects attention'],
    ['rerotate(quest)', 'quest chooses what each step reads'],
    ['think(quest)', 'quest chooses what each step reads'],
    ['think(decoding(knorm))', 'decoding evicts while decoding'],
    ['think(rerotate(knorm))', 'rerotate gives the survivors new positions'],
    ['ratchet(rerotate(knorm))', 'rerotate gives the survivors new positions'],
    ['rerotate(merging(rerotate(knorm)))', 'merging gives the survivors new positions'],
    ['merging(rerotate(knorm), method=d2o)', 'rerotate gives the survivors new positions'],
    ['ratchet(merging(knorm))', 'merging adds what it evicts to what it keeps'],
    ['merging(merging(knorm))', 'merging adds what it evicts to what it keeps'],
    ['ratchet(adakv)', 'adakv is ragged'],
    ['rerotate(threshold(knorm))', 'threshold is ragged'],
    ['threshold(adakv)', 'must be a policy that scores entries'],
    ['adakv(decoding(knorm))', 'must be a policy that scores entries'],
    ['per-layer(decoding(knorm), weights=[1, 2])', 'must be a policy that scores entries'],
    ['decoding(decoding(knorm))', 'must be a policy that scores entries'],
  ])('%s is refused when it is parsed', (expression, reason) => {
    expect(() => registry.parse(expression)).toThrow(
      expect.objectContaining({ code: 'policy_invalid', message: expect.stringContaining(reason) }),
    );
  });

  it.each([
    'rerotate(cake)',
    'rerotate(decoding(knorm))',
    'ratchet(cake)',
    'rerotate(merging(knorm))',
    'ratchet(decoding(knorm))',
    'merging(rerotate(knorm))',
    'think(merging(knorm))',
    'merging(decoding(knorm))',
    'decoding(per-layer(knorm, weights=[1, 2]))',
  ])('%s is taken', (expression) => {
    expect(registry.parse(expression).begin).toBeTypeOf('function');
  });

  it('ignore budgets where all that they wrap do', () => {
    for (const expression of ['think(full)', 'rerotate(full)'])
      expect(registry.parse(expression).ignoresBudget, expression).toBe(true);
    for (const expression of ['think(snapkv)', 'phases(prompt=full, answer=decoding(knorm))'])
      expect(registry.parse(expression).ignoresBudget, expression).toBeUndefined();
  });

  it('a policy that does not say what its runs do is refused when they begin', () => {
    const cake = registry.parse('cake');
    const silent = { ...cake, traits: [] };
    const make = registry.factories.get('merging');
    const policy = make?.({ policy: silent } as never);
    const model = { layers: 2, queryHeads: 2, kvHeads: 1, headDim: 8, hidden: 16, entryBytes: 32 };
    const context = { model, promptLength: 100, budget: { kind: 'tokens', tokens: 40 }, seed: 0, sequence: 0 } as const;
    expect(() => policy?.begin(context)).toThrow(/merging needs a policy that only chooses survivors; cake shrinks/);
  });
});
