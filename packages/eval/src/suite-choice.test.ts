import { describe, expect, it } from 'vitest';
import { chooseProfile, chooseTasks, groupByTask } from './suite-choice.js';

describe('choices', () => {
  it('takes the first profile and all tasks by default', () => {
    expect(chooseProfile('s', ['a', 'b'], undefined)).toBe('a');
    expect(chooseTasks('s', ['x', 'y'], undefined)).toEqual(['x', 'y']);
    expect(chooseTasks('s', ['x', 'y'], ['y'])).toEqual(['y']);
  });

  it('names what there is', () => {
    expect(() => chooseProfile('s', ['a', 'b'], 'c')).toThrow('expected a profile of s (a, b), got "c"');
    expect(() => chooseTasks('s', ['x', 'y'], ['x', 'z'])).toThrow('expected a task of s (x, y), got "z"');
  });
});

it('groups results in the order of first appearance', () => {
  const result = (task: string, score: number) => ({ task, score, prediction: '' });
  const groups = groupByTask([result('b', 1), result('a', 2), result('b', 3)]);
  expect([...groups].map(([task, group]) => [task, group.map(({ score }) => score)])).toEqual([
    ['b', [1, 3]],
    ['a', [2]],
  ]);
});
