import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { broadcastShape, elementCount, formatShape, sameShape } from './shape.js';

const shape = fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 4 });

describe('broadcastShape', () => {
  it('aligns right and stretches ones', () => {
    expect(broadcastShape([5, 1], [1, 13])).toEqual([5, 13]);
    expect(broadcastShape([2, 3, 1, 5], [3, 4, 1])).toEqual([2, 3, 4, 5]);
    expect(broadcastShape([0, 4], [1, 4])).toEqual([0, 4]);
    expect(broadcastShape([], [3])).toEqual([3]);
    expect(broadcastShape([3], [4])).toBeUndefined();
    expect(broadcastShape([0], [2])).toBeUndefined();
  });

  it('does not mind the order, and changes nothing for a shape with itself or a scalar', () => {
    fc.assert(
      fc.property(shape, shape, (a, b) => {
        expect(broadcastShape(a, b)).toEqual(broadcastShape(b, a));
        expect(broadcastShape(a, a)).toEqual(a);
        expect(broadcastShape(a, [])).toEqual(a);
      }),
    );
  });

  it('gives a shape that both fit', () => {
    fc.assert(
      fc.property(shape, shape, (a, b) => {
        const out = broadcastShape(a, b);
        if (out === undefined) return;
        for (const x of [a, b]) {
          for (const [axis, size] of x.entries()) {
            const stretched = out[axis + out.length - x.length];
            expect(size === stretched || size === 1).toBe(true);
          }
        }
      }),
    );
  });
});

it('counts, compares and shows shapes', () => {
  expect(elementCount([])).toBe(1);
  expect(elementCount([3, 0, 2])).toBe(0);
  expect(sameShape([1, 2], [1, 2])).toBe(true);
  expect(sameShape([1, 2], [1, 2, 1])).toBe(false);
  expect(formatShape([2, 3])).toBe('[2, 3]');
});
