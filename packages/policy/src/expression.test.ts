import { describe, expect, it } from 'vitest';
import { resolveBudgets } from './budget.js';
import { definePolicy } from './definition.js';
import { formatPolicy } from './expression.js';
import { createRegistry } from './registry.js';
import { keepBest, type ScoredPolicy } from './scored.js';

const about = { title: 'T', idea: 'I.', observes: 'nothing', costs: 'none', phases: ['prefill'] } as const;
const body = () =>
  keepBest('x', {
    protect: { first: 0, last: 0 },
    allocate: resolveBudgets,
    start: () => ({
      observe: {},
      score: () => {
        throw new Error('unused');
      },
    }),
  });
const plain = definePolicy({
  ...about,
  name: 'plain-one',
  parameters: {
    window: { kind: 'integer', default: 8, min: 1, description: 'w' },
    kernel: { kind: 'integer', default: 5, odd: true, description: 'k' },
    mode: { kind: 'choice', choices: ['mean', 'max'] as const, default: 'mean', description: 'm' },
    deep: { kind: 'flag', default: false, description: 'd' },
    path: { kind: 'text', default: '', description: 'p' },
    list: { kind: 'numbers', default: [], min: 0, description: 'l' },
  },
  profiles: { wide: { description: 'wide', parameters: { window: 64 } } },
  create: body,
});
const wrapper = definePolicy({
  ...about,
  name: 'wrapper',
  parameters: {
    policy: { kind: 'scored', description: 'p' },
    floor: { kind: 'number', default: 0.2, min: 0, max: 1, description: 'f' },
  },
  create: ({ policy }: { policy: ScoredPolicy }) => ({ ragged: true, begin: policy.begin }),
});
const registry = createRegistry(
  [plain, wrapper],
  [{ name: 'both', expression: 'wrapper(plain-one(window=3))', description: 'b' }],
);

describe('parsePolicy', () => {
  it('reads every kind of value', () => {
    const { parameters } = registry.parse(
      ' plain-one ( window = 12, mode=max, deep=true, path="a b.json", list=[1, 0.5, .25] ) ',
    );
    expect(parameters).toEqual({ window: 12, kernel: 5, mode: 'max', deep: true, path: 'a b.json', list: [1, 0.5, 0.25] });
  });

  it('wraps, takes profiles and presets', () => {
    const policy = registry.parse('wrapper(plain-one(profile=wide, kernel=3), floor=0.5)');
    expect(formatPolicy(policy, registry)).toBe('wrapper(plain-one(window=64, kernel=3), floor=0.5)');
    expect(formatPolicy(registry.parse('both'), registry)).toBe('wrapper(plain-one(window=3))');
  });

  it.each([
    ['nonsense', 'policy_unknown', "column 1: no policy 'nonsense'; known: both, plain-one, wrapper"],
    ['wrapper(planone)', 'policy_unknown', "column 9: no policy 'planone'; did you mean plain-one? known: both"],
    ['warpper', 'policy_unknown', 'did you mean wrapper?'],
    [
      'plain-one(path=/a.json)',
      'policy_invalid',
      `column 16: expected a number, a word, a policy, [numbers] or "text", found '/'`,
    ],
    ["plain-one(path='a')", 'policy_invalid', 'column 16: expected a number'],
    ['plain-one(path="C:\\models")', 'policy_invalid', 'column 16: expected a text as in JSON, where \\ is written \\\\'],
    ['plain-one(widnow=3)', 'policy_invalid', "column 11: plain-one has no parameter 'widnow'; it has: window, kernel"],
    ['plain-one(window=0)', 'policy_invalid', 'window must be an integer from 1, not 0'],
    ['plain-one(kernel=4)', 'policy_invalid', 'kernel must be an odd integer, not 4'],
    ['plain-one(mode=median)', 'policy_invalid', 'mode must be one of mean, max, not "median"'],
    ['plain-one(profile=narrow)', 'policy_invalid', "no profile 'narrow'; it has: kv-head, wide"],
    ['plain-one(window=3, window=4)', 'policy_invalid', "column 21: plain-one: 'window' is given twice"],
    ['plain-one(3)', 'policy_invalid', 'write parameters as name=value'],
    ['wrapper', 'policy_invalid', 'wraps another policy'],
    ['wrapper(wrapper(plain-one))', 'policy_invalid', 'a policy that scores entries'],
    ['plain-one(', 'policy_invalid', 'column 11: expected a policy name, found the end'],
    ['plain-one(window=3', 'policy_invalid', "column 19: expected ',' or ')', found the end"],
    ['plain-one) x', 'policy_invalid', "column 10: expected the end, found ')'"],
    ['', 'policy_invalid', 'column 1: expected a policy name, found the end'],
  ])('%s: %s', (text, code, message) => {
    expect(() => registry.parse(text)).toThrow(expect.objectContaining({ code, message: expect.stringContaining(message) }));
  });

  it('refuses two policies of one name', () => {
    expect(() => createRegistry([plain, plain])).toThrow(/two policies are called 'plain-one'/);
  });
});
