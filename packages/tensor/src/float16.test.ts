import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bfloatToFloat, floatToBfloat, floatToHalf, halfToFloat } from './float16.js';

const types = [
  { name: 'f16', widen: halfToFloat, round: floatToHalf, largest: 65504, isNan: (bits: number) => (bits & 0x7fff) > 0x7c00 },
  {
    name: 'bf16',
    widen: bfloatToFloat,
    round: floatToBfloat,
    largest: bfloatToFloat(0x7f7f),
    isNan: (bits: number) => (bits & 0x7fff) > 0x7f80,
  },
];

describe.each(types)('$name', ({ widen, round, largest, isNan }) => {
  it('gives every pattern back', () => {
    for (let bits = 0; bits < 65536; bits++) {
      if (isNan(bits)) {
        expect(widen(bits)).toBeNaN();
        expect(isNan(round(widen(bits)))).toBe(true);
      } else if (round(widen(bits)) !== bits) {
        expect.fail(`${bits.toString(16)} becomes ${round(widen(bits)).toString(16)}`);
      }
    }
  });

  it('rounds to the nearest, ties to the even pattern', () => {
    fc.assert(
      fc.property(fc.nat(0x7fff), fc.double({ min: 0, max: 1, noNaN: true }), (bits, share) => {
        fc.pre(!isNan(bits) && widen(bits) < largest);
        const [low, high] = [widen(bits), widen(bits + 1)];
        const value = Math.fround(low + share * (high - low));
        const [below, above] = [value - low, high - value];
        const expected = below < above || (below === above && bits % 2 === 0) ? bits : bits + 1;
        expect(round(value)).toBe(expected);
        expect(round(-value)).toBe(expected | 0x8000);
      }),
      { numRuns: 2000 },
    );
  });

  it('overflows to infinity, and keeps infinity and the sign of zero', () => {
    expect(widen(round(largest))).toBe(largest);
    expect(widen(round(3.4028234663852886e38))).toBe(Infinity);
    expect(widen(round(-Infinity))).toBe(-Infinity);
    expect(round(-0)).toBe(0x8000);
  });
});

it('f16 keeps subnormals and rounds half the smallest to zero', () => {
  expect(floatToHalf(2 ** -24)).toBe(1);
  expect(floatToHalf(2 ** -25)).toBe(0);
  expect(floatToHalf(2 ** -25 * 1.0001)).toBe(1);
  expect(floatToHalf(3 * 2 ** -25)).toBe(2);
  expect(floatToHalf(65519.99)).toBe(0x7bff);
  expect(floatToHalf(65520)).toBe(0x7c00);
});
