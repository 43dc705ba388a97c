import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { stemPorter } from './porter-stemmer.js';

describe('stemPorter', () => {
  it.each([
    // Porter's own examples.
    ['caresses', 'caress'],
    ['ponies', 'poni'],
    ['plastered', 'plaster'],
    ['hopping', 'hop'],
    ['filing', 'file'],
    ['relational', 'relat'],
    ['vietnamization', 'vietnam'],
    ['triplicate', 'triplic'],
    ['adjustment', 'adjust'],
    ['controll', 'control'],
    // Where NLTK's extensions differ from the original.
    ['days', 'day'],
    ['dying', 'die'],
    ['ties', 'tie'],
    ['enjoy', 'enjoy'],
    ['spy', 'spi'],
    ['geologi', 'geolog'],
    ['news', 'news'],
  ])('%s → %s', (word, stem) => {
    expect(stemPorter(word)).toBe(stem);
  });

  it('never makes a word longer by more than the e of "filing", nor empty', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[a-z0-9]{1,12}$/), (word) => {
        const stem = stemPorter(word);
        expect(stem.length).toBeGreaterThan(0);
        expect(stem.length).toBeLessThanOrEqual(word.length + 1);
      }),
    );
  });

  it('takes words that are names of object properties', () => {
    expect(stemPorter('constructor')).toBe('constructor');
  });
});
