import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cleanPrediction, rulerTaskScore, scoreRuler } from './score.js';

describe('cleaning', () => {
  it('breaks lines at control characters, or deletes them, or leaves them', () => {
    expect(cleanPrediction(' 7624\t039\u0000\n', 'reference')).toBe('7624\n039');
    expect(cleanPrediction('7624\n039', 'kvpress')).toBe('7624039');
    expect(cleanPrediction(' 7624\n', 'kvcache-factory')).toBe(' 7624\n');
  });
});

describe('scores', () => {
  it('count references inside the text, whatever stands around them, unless fixed', () => {
    expect(scoreRuler('niah_single_1', '12345678', ['1234567'], 'reference')).toBe(1);
    expect(scoreRuler('niah_single_1', '12345678', ['1234567'], 'fixed')).toBe(0);
    expect(scoreRuler('qa_2', 'I do not know', ['no'], 'reference')).toBe(1);
    expect(scoreRuler('qa_2', 'I do not know', ['no'], 'fixed')).toBe(0);
    expect(scoreRuler('qa_2', 'it costs 5$ (net)', ['5$'], 'fixed')).toBe(1);
  });

  it('are shares, or any in question answering', () => {
    expect(scoreRuler('niah_multivalue', 'a b', ['a', 'x', 'b', 'y'], 'reference')).toBe(0.5);
    expect(scoreRuler('qa_1', 'a b', ['x', 'a'], 'reference')).toBe(1);
    expect(scoreRuler('niah_multiquery', 'a', ['a', 'a', 'b', 'c'], 'reference')).toBe(0.5);
    expect(scoreRuler('qa_1', 'x', [''], 'reference')).toBe(1);
    expect(scoreRuler('qa_1', 'x', [''], 'fixed')).toBe(0);
  });

  it('raise without references, as dividing by none does', () => {
    expect(() => scoreRuler('vt', 'x', [], 'reference')).toThrow(
      expect.objectContaining({ details: { kind: 'ZeroDivisionError' } }),
    );
    expect(() => scoreRuler('qa_1', 'x', [], 'kvpress')).toThrow(expect.objectContaining({ details: { kind: 'ValueError' } }));
    expect(scoreRuler('vt', 'x', [''], 'fixed')).toBe(0);
  });

  it('are 1 for a text that holds all references, under every profile, in any case', () => {
    const names = fc.array(fc.stringMatching(/^[a-z0-9]{1,8}$/), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(
        names,
        fc.constantFrom('reference' as const, 'kvpress' as const, 'kvcache-factory' as const, 'fixed' as const),
        (all, profile) => {
          expect(scoreRuler('vt', all.join(' ').toUpperCase(), all, profile)).toBe(1);
        },
      ),
    );
  });

  it('round ties as Python does', () => {
    expect(rulerTaskScore([1, 0, 0])).toBe(33.33);
    expect(rulerTaskScore([0.43125])).toBe(43.12);
    expect(rulerTaskScore([])).toBeNull();
  });
});
