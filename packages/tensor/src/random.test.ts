import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { philox4x32, uniformAt } from './random.js';

const hex = (words: readonly number[]) => words.map((word) => word.toString(16).padStart(8, '0')).join(' ');

describe('philox4x32', () => {
  // Known-answer tests of Random123 (kat_vectors).
  it('gives the published words', () => {
    expect(hex(philox4x32([0, 0, 0, 0], [0, 0]))).toBe('6627e8d5 e169c58d bc57ac4c 9b00dbd8');
    const ones = 0xffffffff;
    expect(hex(philox4x32([ones, ones, ones, ones], [ones, ones]))).toBe('408f276d 41c83b0e a20bc7c6 6d5451fd');
    const pi = [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344] as const;
    expect(hex(philox4x32(pi, [0xa4093822, 0x299f31d0]))).toBe('d16cfe09 94fdcceb 5001e420 24126ea1');
  });
});

const word = fc.nat(2 ** 32 - 1);
const key = fc.record({ seed: word, sequence: word, layer: word, purpose: word });

describe('uniformAt', () => {
  it('lies strictly between 0 and 1 and is a float32', () => {
    fc.assert(
      fc.property(key, fc.nat(1e6), fc.nat(1e6), (stream, row, index) => {
        const value = uniformAt(stream, row, index);
        expect(value > 0 && value < 1).toBe(true);
        expect(Math.fround(value)).toBe(value);
      }),
    );
  });

  it('differs between rows, indices and streams', () => {
    const base = { seed: 1, sequence: 2, layer: 3, purpose: 4 };
    const values = [
      uniformAt(base, 0, 0),
      uniformAt(base, 0, 1),
      uniformAt(base, 0, 4),
      uniformAt(base, 1, 0),
      ...(['seed', 'sequence', 'layer', 'purpose'] as const).map((part) => uniformAt({ ...base, [part]: 9 }, 0, 0)),
    ];
    expect(new Set(values).size).toBe(values.length);
  });

  it('has the mean and variance of a uniform law', () => {
    const base = { seed: 7, sequence: 0, layer: 0, purpose: 0 };
    const values = Array.from({ length: 20_000 }, (_, index) => uniformAt(base, 0, index));
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
    expect(mean).toBeCloseTo(0.5, 2);
    expect(variance).toBeCloseTo(1 / 12, 2);
  });
});
