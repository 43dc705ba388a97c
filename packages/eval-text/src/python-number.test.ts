import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parsePythonFloat, parsePythonInt, roundHalfEven, roundNumpy, sumNumpy } from './python-number.js';

describe('parsePythonInt', () => {
  it.each([
    ['12', 12n],
    ['+7', 7n],
    ['-0_1', -1n],
    ['١٢', 12n],
    ['𝟗𝟏', 91n],
  ])('reads %s', (text, value) => {
    expect(parsePythonInt(text)).toBe(value);
  });

  it.each(['', '.5', '1.0', '1e3', '1__0', '_1', '1_', '- 1', '²', '−14', '1'.repeat(4301)])(
    'refuses %j with a ValueError',
    (text) => {
      expect(() => parsePythonInt(text)).toThrow(
        expect.objectContaining({ code: 'score_error', details: { kind: 'ValueError' } }),
      );
    },
  );

  it('agrees with BigInt on plain digits', () => {
    fc.assert(
      fc.property(fc.bigInt(), (value) => {
        expect(parsePythonInt(String(value))).toBe(value);
      }),
    );
  });
});

describe('parsePythonFloat', () => {
  it('reads decimals of any script and refuses the rest', () => {
    expect(parsePythonFloat('84.5')).toBe(84.5);
    expect(parsePythonFloat('٨٤.٥')).toBe(84.5);
    expect(parsePythonFloat('1_0')).toBe(10);
    expect(() => parsePythonFloat('84,5')).toThrow('expected a decimal number');
  });
});

describe('rounding', () => {
  it('gives exact ties to the even digit, also negative ones', () => {
    expect([43.125, 43.375, 0.5, 1.5, 2.5, -0.125].map((value, i) => roundHalfEven(value, i < 2 || i === 5 ? 2 : 0))).toEqual([
      43.12, 43.38, 0, 2, 2, -0.12,
    ]);
  });

  it('goes by the binary value, where NumPy goes by the product', () => {
    expect(roundHalfEven(2.675, 2)).toBe(2.67);
    expect(roundNumpy(2.675, 2)).toBe(2.68);
  });

  it('is never further than half a unit from the value', () => {
    fc.assert(
      fc.property(fc.double({ min: -1e6, max: 1e6, noNaN: true }), fc.integer({ min: 0, max: 4 }), (value, digits) => {
        expect(Math.abs(roundHalfEven(value, digits) - value)).toBeLessThanOrEqual(0.5 * 10 ** -digits + 1e-9);
      }),
    );
  });
});

describe('sumNumpy', () => {
  it('sums pairwise: the order decides the last digit', () => {
    const values = Array.from({ length: 1000 }, () => 0.1);
    expect(sumNumpy(values)).not.toBe(values.reduce((sum, value) => sum + value, 0));
    expect(sumNumpy(values)).toBeCloseTo(100, 10);
    expect(sumNumpy([])).toBe(0);
  });

  it('is exact for integers of any count', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -1000, max: 1000 }), { maxLength: 400 }), (values) => {
        expect(sumNumpy(values)).toBe(values.reduce((sum, value) => sum + value, 0));
      }),
    );
  });
});
