import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { LongBenchProfile } from './profiles.js';
import { bucketOf, bucketScores, createLongBenchScorer, taskScore } from './score.js';
import { LONGBENCH_TASKS, type LongBenchTask } from './tasks.js';

const scorer = createLongBenchScorer();
const score = (
  task: LongBenchTask,
  prediction: string,
  answers: string[],
  profile: LongBenchProfile = 'reference',
  allClasses: string[] | null = null,
) => scorer({ task, prediction, expected: { answers, allClasses }, profile });

describe('post-processing', () => {
  it('keeps the first line of few-shot tasks only', () => {
    expect(score('triviaqa', '\n\nBob\nmore', ['Bob'])).toBe(1);
    expect(score('qasper', 'Bob\nmore', ['Bob'])).toBeCloseTo(2 / 3);
    expect(score('samsum', 'a b\r\nc', ['a b'])).toBeGreaterThan(0.99);
  });

  it('strips indentation under kvpress, but not in LongBench-E', () => {
    const item = {
      task: 'lcc',
      prediction: '    return x',
      expected: { answers: ['return x'], allClasses: null },
      profile: 'kvpress',
    } as const;
    expect(scorer(item)).toBe(1);
    expect(scorer({ ...item, extended: true })).toBe(0.8);
  });
});

describe('metrics', () => {
  it('compare code by difflib or Levenshtein, and pass over right lines with // unless repaired', () => {
    expect(score('lcc', 'tide', ['diet'])).toBe(0.25);
    expect(score('lcc', 'tide', ['diet'], 'kvcache-factory')).toBe(0.5);
    expect(score('repobench-p', "u = 'http://a'\nx", ["u = 'http://a'"])).toBeLessThan(0.5);
    expect(score('repobench-p', "```\n# so\nu = 'http://a'\nx", ["u = 'http://a'"], 'fixed')).toBe(1);
    expect(score('lcc', '', [''])).toBe(1);
  });

  it('skip an element after each removal of a class, unless repaired', () => {
    const classes = ['art', 'fine art', 'modern fine art'];
    expect(score('trec', 'modern fine art', ['modern fine art'], 'reference', classes)).toBe(0.5);
    expect(score('trec', 'modern fine art', ['modern fine art'], 'fixed', classes)).toBe(1);
    expect(() => score('trec', 'x', ['x'])).toThrow(expect.objectContaining({ details: { kind: 'TypeError' } }));
  });

  it('count numbers of all scripts, compared as text', () => {
    expect(score('passage_count', '12 ١٢', ['12'])).toBe(0.5);
    expect(score('passage_count', '²', ['2'])).toBe(0);
    expect(score('passage_retrieval_zh', '段落27。\n\n段落28', ['段落27'])).toBe(0.5);
    expect(() => score('passage_retrieval_en', '1', ['7'])).toThrow(expect.objectContaining({ details: { kind: 'IndexError' } }));
  });

  it('segment Chinese', () => {
    expect(score('multifieldqa_zh', '在厦门大学举办', ['厦门大学。'])).toBe(0.5);
    expect(score('vcsum', '研究生命的起源', ['研究生命起源'])).toBe(0.8571428522448981);
  });

  it('give 0 where Python would recurse too deeply, unless unlimited', () => {
    const long = Array.from({ length: 1200 }, (_, i) => `w${i}`).join(' ');
    expect(score('gov_report', long, ['w5 w6'])).toBe(0);
    expect(score('gov_report', long, ['w5 w6'], 'reference-unlimited')).toBeGreaterThan(0);
    expect(score('gov_report', '...', ['x'])).toBe(0);
  });
});

it('takes the best answer, 0 without any, always within 0 … 1', () => {
  const text = fc.string({ unit: fc.constantFrom('a', 'b', ' ', '.', '\n', '1', '#', '大', '学'), maxLength: 20 });
  const tasks = LONGBENCH_TASKS.filter((task) => !task.startsWith('passage_retrieval'));
  fc.assert(
    fc.property(fc.constantFrom(...tasks), text, fc.array(text, { maxLength: 3 }), (task, prediction, answers) => {
      const each = answers.map((answer) => score(task, prediction, [answer], 'reference', answers));
      const best = score(task, prediction, answers, 'reference', answers);
      expect(best).toBe(Math.max(0, ...each));
      expect(best).toBeLessThanOrEqual(1);
    }),
  );
});

describe('task scores', () => {
  it('round ties as Python does, and as NumPy does per bucket', () => {
    expect(taskScore([0.43125])).toBe(43.12);
    expect(taskScore([])).toBeNull();
    expect(bucketScores([{ score: 0.02675, length: 10 }])).toEqual({ '0-4k': 2.68, '4-8k': null, '8k+': null });
    expect(taskScore([0.02675])).toBe(2.67);
  });

  it('bucket lengths', () => {
    expect([0, 3999, 4000, 7999, 8000].map(bucketOf)).toEqual(['0-4k', '0-4k', '4-8k', '4-8k', '8k+']);
  });
});
