import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { drawMagic, drawNewMagic } from './magic-values.js';
import { RandomStream } from './random.js';

const stream = (seed: number, sample = 0, purpose = 0) => new RandomStream({ seed, sample, purpose });

describe('RandomStream', () => {
  it('repeats itself for equal keys only', () => {
    const draw = (random: RandomStream) => Array.from({ length: 9 }, () => random.word());
    expect(draw(stream(1, 2, 3))).toEqual(draw(stream(1, 2, 3)));
    for (const other of [stream(2, 2, 3), stream(1, 3, 3), stream(1, 2, 4)])
      expect(draw(other)).not.toEqual(draw(stream(1, 2, 3)));
  });

  it('stays within bounds, draws distinct numbers, and keeps all items when shuffling', () => {
    fc.assert(
      fc.property(fc.nat(), fc.integer({ min: 1, max: 50 }), fc.nat(50), (seed, bound, wanted) => {
        const random = stream(seed);
        const count = Math.min(wanted, bound);
        expect(random.below(bound)).toBeLessThan(bound);
        const distinct = random.distinct(bound, count);
        expect(new Set(distinct).size).toBe(count);
        expect(distinct.every((n) => n >= 0 && n < bound)).toBe(true);
        const items = Array.from({ length: bound }, (_, i) => i);
        expect(random.shuffled(items).sort((a, b) => a - b)).toEqual(items);
      }),
    );
  });

  it('is uniform: no value of a die is more than 4 σ off', () => {
    const random = stream(7);
    const counts = [0, 0, 0, 0, 0, 0];
    for (let i = 0; i < 60_000; i++) {
      const face = random.below(6);
      counts[face] = (counts[face] ?? 0) + 1;
    }
    for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(4 * Math.sqrt(60_000 * (1 / 6) * (5 / 6)));
  });

  it('reaches the whole range of 32 bits', () => {
    const random = stream(3);
    const top = Array.from({ length: 100 }, () => random.below(2 ** 32));
    expect(Math.max(...top)).toBeGreaterThan(2 ** 31);
  });
});

describe('magic values', () => {
  const words = { nouns: ['cat'], adjectives: ['red', 'old'], verbs: [] };

  it('have their form', () => {
    fc.assert(
      fc.property(fc.nat(), (seed) => {
        const random = stream(seed);
        expect(drawMagic('numbers', random, words)).toMatch(/^[1-9]\d{6}$/);
        expect(drawMagic('uuids', random, words)).toMatch(
          /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
        );
        expect(drawMagic('words', random, words)).toMatch(/^(red|old)-cat$/);
      }),
    );
  });

  it('are new where asked', () => {
    const taken = new Set<string>();
    const random = stream(1);
    expect(new Set([drawNewMagic('words', random, words, taken), drawNewMagic('words', random, words, taken)]).size).toBe(2);
  });
});
