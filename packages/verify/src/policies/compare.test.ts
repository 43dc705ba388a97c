import { describe, expect, it } from 'vitest';
import { sameKept, sameScores } from './compare.js';

describe('sameScores', () => {
  const golden = Float32Array.of(1, 2, 3.4e38, 1, 2, 3);
  it('takes scores within tolerance and skips protected entries', () => {
    expect(sameScores(Float32Array.of(1.00005, 2, 0, 1, 2, 3), golden, 2)).toBeUndefined();
  });

  it('says where the largest difference is', () => {
    expect(sameScores(Float32Array.of(1, 2, 0, 1, 2.5, 3.1), golden, 2)).toMatch(/5\.00e-1 at \[1, 1\]/);
    expect(sameScores(Float32Array.of(Number.NaN, 2, 0, 1, 2, 3), golden, 2)).toMatch(/\[0, 0\]/);
  });
});

describe('sameKept', () => {
  const scores = Float32Array.of(5, 4, 4, 1);
  it.each([
    ['equal sets', [0, 1], [0, 1], undefined],
    ['a tie at the threshold', [0, 2], [0, 1], undefined],
    ['another entry', [0, 3], [0, 1], /1 entries differ beyond ties, first 3/],
    ['another count', [0], [0, 1], /1 kept instead of 2/],
    ['an order', [1, 0], [0, 1], /not strictly ascending/],
    ['a double', [0, 0], [0, 1], /not strictly ascending/],
  ])('%s', (_, ours, golden, finding) => {
    const found = sameKept([ours], [golden], { scores });
    if (finding === undefined) expect(found).toBeUndefined();
    else expect(found).toMatch(finding);
  });

  it('does not take a protected entry for the threshold', () => {
    const own = Float32Array.of(0, 5, 4, 4, 1);
    const columns = { first: 1, end: 5 };
    expect(sameKept([[0, 1, 3]], [[0, 1, 2]], { scores: own })).toMatch(/differ/);
    expect(sameKept([[0, 1, 3]], [[0, 1, 2]], { scores: own, columns })).toBeUndefined();
    // A budget below the protected part keeps any of it.
    expect(sameKept([[3]], [[4]], { scores: own, columns: { first: 0, end: 3 } })).toBeUndefined();
    expect(sameKept([[1]], [[4]], { scores: own, columns: { first: 0, end: 3 } })).toMatch(/differ/);
  });

  it('needs scores to excuse a difference', () => {
    expect(sameKept([[0, 2]], [[0, 1]])).toMatch(/differ/);
  });
});
