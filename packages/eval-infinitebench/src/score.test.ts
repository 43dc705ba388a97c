import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Label } from './label.js';
import { INFINITE_BENCH_PROFILES, type InfiniteBenchProfile } from './profiles.js';
import { scoreInfiniteBench } from './score.js';
import { INFINITE_BENCH_TASKS, type InfiniteBenchTask } from './tasks.js';

const score = (
  task: InfiniteBenchTask,
  prediction: string,
  label: Label,
  profile: InfiniteBenchProfile = 'reference',
  model?: string,
) => scoreInfiniteBench(task, prediction, label, { profile, ...(model !== undefined && { model }) });

describe('quirks of the reference beside their repair', () => {
  const pair = ['Parser.read', 'A'];
  const name = ['NAPOLEON SOLO', 'SOLO'];
  it.each<readonly [InfiniteBenchTask, string, Label, reference: number, fixed: number]>([
    ['code_debug', 'A', pair, 0, 1],
    ['code_debug', 'A.', pair, 1, 1],
    ['code_debug', 'The answer is:A', pair, 0, 1],
    ['code_debug', 'The answer is: Apple', pair, 1, 0],
    ['code_debug', 'answer is:😀A', pair, 1, 1],
    ['code_debug', 'Parser.read', pair, 0, 1],
    ['code_debug', 'B. Parser.read', pair, 0, 0],
    ['kv_retrieval', 'x', ['x'], 0, 1],
    ['kv_retrieval', '`x`', 'x', 0, 1],
    ['longdialogue_qa_eng', 'Napoleon Solo', name, 0, 1],
    ['longdialogue_qa_eng', 'Solomon', name, 0, 0],
    ['longbook_choice_eng', 'At the inn', ['At the inn', 'D'], 0, 1],
    ['longbook_choice_eng', 'Because', ['on foot', 'B'], 1, 0],
    ['longbook_choice_eng', '(D)', ['on foot', 'D'], 0, 1],
    ['longbook_choice_eng', 'x AB y', ['on foot', 'A'], 0, 0],
    ['code_run', '-14,', -14, 0, 1],
    ['code_run', '−14', [-14], 0, 1],
    ['code_run', '3\n\nfunc_12(4) is called', 3, 0, 1],
    ['math_find', '-84', 84, 1, 0],
    ['math_calc', '1, 3, 5', [3, 5], 0, 1],
    ['longbook_qa_eng', 'xyz', 'xyz', 0, 1],
  ])('%s %j', (task, prediction, label, reference, fixed) => {
    expect(score(task, prediction, label)).toBe(reference);
    expect(score(task, prediction, label, 'fixed')).toBe(fixed);
  });
});

describe('sources differ', () => {
  it('on decimals in Math.Find', () => {
    const raises = expect.objectContaining({ code: 'score_error', details: { kind: 'ValueError' } });
    expect(() => score('math_find', '84.9', 84)).toThrow(raises);
    expect(() => score('math_find', '84.9', 84, 'kvpress')).toThrow(raises);
    expect(score('math_find', '84.9', 84, 'nacl')).toBe(1);
    expect(score('math_find', '84.9', 84, 'fixed')).toBe(0);
    expect(score('math_find', '45', { float: 45 })).toBe(1);
  });

  it('on the letter that counts', () => {
    expect(score('code_debug', 'not D but A\nthen B', ['f', 'A'], 'kvpress')).toBe(1);
    expect(score('code_debug', 'After all', ['f', 'A'], 'kvpress')).toBe(1);
    expect(score('longbook_choice_eng', 'Because it is D', ['t', 'D'], 'kvpress')).toBe(1);
    expect(score('longbook_choice_eng', 'Because it is D', ['t', 'D'], 'nacl')).toBe(0);
  });

  it('on summaries, which kvpress refuses', () => {
    expect(score('longbook_sum_eng', 'a b', 'a b')).toBe(1);
    expect(() => score('longbook_sum_eng', 'a b', 'a b', 'kvpress')).toThrow(
      expect.objectContaining({ details: { kind: 'AssertionError' } }),
    );
  });

  it('on the model named gpt4, whose first number is dropped', () => {
    expect(score('math_calc', '1, 3, 5', [[3, 5]], 'reference', 'gpt4')).toBe(1);
    expect(score('math_calc', '3, 5', [3, 5], 'reference', 'gpt4')).toBe(0);
    expect(score('math_calc', '3, 9', [3, 5], 'reference', 'other')).toBe(0.5);
  });
});

describe('labels that do not fit', () => {
  it.each<readonly [InfiniteBenchTask, Label, string]>([
    ['code_debug', ['f'], 'IndexError'],
    ['math_find', '84', 'TypeError'],
    ['math_calc', 5, 'AssertionError'],
    ['math_calc', [], 'IndexError'],
    ['longbook_qa_eng', 5, 'TypeError'],
  ])('%s %j raises %s', (task, label, kind) => {
    expect(() => score(task, '1', label)).toThrow(expect.objectContaining({ details: { kind } }));
  });
});

it('always scores 0 … 1 or raises, for any prediction', () => {
  const labels: Record<string, Label> = {
    math_find: 7,
    math_calc: [1, 2],
    code_run: 3,
    code_debug: ['f', 'B'],
    longbook_choice_eng: ['t', 'B'],
  };
  const text = fc.string({
    unit: fc.constantFrom('A', 'B', ' ', '\n', '.', ':', '1', '7', '-', '😀', 'answer is', '٣'),
    maxLength: 12,
  });
  fc.assert(
    fc.property(
      fc.constantFrom(...INFINITE_BENCH_TASKS),
      fc.constantFrom(...INFINITE_BENCH_PROFILES),
      text,
      (task, profile, prediction) => {
        try {
          const value = score(task, prediction, labels[task] ?? ['A 1'], profile);
          expect(value).toBeGreaterThanOrEqual(0);
          expect(value).toBeLessThanOrEqual(1);
        } catch (error) {
          expect(error).toMatchObject({ code: 'score_error' });
        }
      },
    ),
    { numRuns: 500 },
  );
});
