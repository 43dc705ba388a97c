import type { Sample, SampleOptions } from '@kvsift/eval';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { drawKey, KEY_GRIDS } from './key-lines.js';
import { LANDMARK_LENGTHS, landmarkPrompt, matchesLandmarkIds } from './landmark.js';
import { MersenneTwister } from './mersenne-twister.js';
import { type PasskeyOptions, passkeyRetrieval } from './suite.js';

async function read(options: PasskeyOptions, wanted: SampleOptions): Promise<Sample[]> {
  const samples = [];
  for await (const sample of passkeyRetrieval(options).samples(wanted)) samples.push(sample);
  return samples;
}
const textOf = ({ context, question, answerPrefix = '' }: Sample) => context + question + answerPrefix;

describe('MersenneTwister', () => {
  it('gives the published first word of seed 5489, and the ten-thousandth', () => {
    // Matsumoto and Nishimura's default seed; the C++ standard requires this 10,000th word (std::mt19937).
    const random = new MersenneTwister(5489);
    expect(random.word()).toBe(3499211612);
    for (let i = 2; i < 10_000; i++) random.word();
    expect(random.word()).toBe(4123659995);
  });

  it('keeps integers in their range', () => {
    fc.assert(
      fc.property(fc.nat(2 ** 32 - 1), fc.nat(1000), fc.integer({ min: 1, max: 2 ** 31 }), (seed, low, size) => {
        const value = new MersenneTwister(seed).integer(low, low + size);
        expect(value).toBeGreaterThanOrEqual(low);
        expect(value).toBeLessThan(low + size);
      }),
    );
  });
});

describe('landmark form', () => {
  it('has the published lengths', () => {
    expect(LANDMARK_LENGTHS).toHaveLength(32);
    expect([LANDMARK_LENGTHS[0], LANDMARK_LENGTHS.at(-1)]).toEqual([3072, 119808]);
  });

  it('holds all garbage around the key, wherever it is cut', () => {
    fc.assert(
      fc.property(fc.integer({ min: 100, max: 5000 }), fc.nat(1000), (garbage, seed) => {
        const { context, passKey, prefixLength } = landmarkPrompt(garbage, seed);
        const [, before, key, after] = context.split('\n');
        expect(before).toHaveLength(prefixLength);
        expect((before?.length ?? 0) + (after?.length ?? 0)).toBe(garbage);
        expect(key).toBe(`The pass key is ${passKey}. Remember it. ${passKey} is the pass key.`);
      }),
    );
  });

  it('compares ids after the first, as the published test does', () => {
    const encode = (text: string) => [1, ...Array.from(text, Number)];
    expect(matchesLandmarkIds([4, 2, 9], 42, encode)).toBe(true);
    expect(matchesLandmarkIds([4, 3], 42, encode)).toBe(false);
    expect(() => matchesLandmarkIds([4], 42, encode)).toThrow(expect.objectContaining({ details: { kind: 'IndexError' } }));
    expect(matchesLandmarkIds([2], 42, (text) => Array.from(text, Number))).toBe(true);
  });
});

describe('InfiniteBench forms', () => {
  it('put the key at every depth of the grid', async () => {
    const samples = await read({ grid: { lines: 10, step: 5, keysPerDepth: 2 } }, { tasks: ['passkey'] });
    expect(samples.map(({ meta }) => meta?.depth)).toEqual([0, 0, 50, 50, 100, 100]);
    for (const sample of samples) {
      const lines = sample.context.split('\n').slice(2, -1);
      expect(lines).toHaveLength(11);
      expect(lines[(Number(sample.meta?.depth) / 100) * 10]).toBe(
        `The pass key is ${sample.expected}. Remember it. ${sample.expected} is the pass key.`,
      );
      expect(textOf(sample)).toMatch(/\n\nWhat is the pass key\?\n\nThe pass key is$/);
      expect(sample.maxNewTokens).toBe(6);
    }
  });

  it('has 590 prompts in the released grid', async () => {
    const { lines, step, keysPerDepth } = KEY_GRIDS['128k'];
    expect((Math.floor(lines / step) + 1) * keysPerDepth).toBe(590);
    expect(await read({}, { tasks: ['number_string'], limit: 3 })).toHaveLength(3);
  });

  it('draws five digits, and runs of digits from five', () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat(1000), (seed, index) => {
        expect(drawKey('passkey', seed, index)).toMatch(/^\d{5}$/);
        const digits = drawKey('number_string', seed, index);
        expect(digits).toMatch(/^\d{10}$/);
        expect(digits.replace(/(.)\1*/g, '$1').length).toBeLessThanOrEqual(5);
      }),
    );
  });
});

describe('suite', () => {
  it('asks the published landmark prompts', async () => {
    const samples = await read({ landmarkLengths: [3072] }, { tasks: ['landmark'] });
    expect(samples.map(({ id }) => id)).toEqual(Array.from({ length: 10 }, (_, seed) => `3072-${seed}`));
    expect(samples[0] && textOf(samples[0])).toMatch(/\nWhat is the pass key\? The pass key is$/);
  });

  it('takes the first integer for the answer', () => {
    const suite = passkeyRetrieval();
    expect(suite.score({ task: 'landmark', expected: '123' }, ' 123. 9')).toBe(1);
    expect(suite.score({ task: 'landmark', expected: '123' }, ' 1234')).toBe(0);
    expect(suite.score({ task: 'landmark', expected: '123' }, 'none')).toBe(0);
    expect(suite.aggregate?.([1, 0, 1, 1].map((score) => ({ task: 'landmark', prediction: '', score })))).toEqual([
      { task: 'landmark', metrics: { accuracy: 0.75, n: 4 } },
    ]);
  });

  it('refuses a grid without steps', () => {
    expect(() => passkeyRetrieval({ grid: { lines: 10, step: 0, keysPerDepth: 1 } })).toThrow('step > 0');
  });
});
