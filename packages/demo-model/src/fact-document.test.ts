import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { demoKeys, estimateTokens, factDocument, unseenDemoKeys } from './index.js';

const example = { tokens: 120, facts: 2, digits: 5, seed: 7 };

describe('factDocument', () => {
  test('writes this document for seed 7', () => {
    expect(factDocument(example)).toMatchInlineSnapshot(`
      {
        "answer": "64392",
        "askedIndex": 0,
        "context": "Here we go. It was a white day, so the horse touched a house after the table. The code for onyx is 64392. A roof painted the young sailor, and the sun opened it before the town. The simple horse described the woman after the letter. Note that the code for penguin is 96762. Here we go. A roof touched the gentle wind, and the sailor left it after the door.",
        "facts": [
          {
            "key": "onyx",
            "sentence": "The code for onyx is 64392.",
            "value": "64392",
          },
          {
            "key": "penguin",
            "sentence": "Note that the code for penguin is 96762.",
            "value": "96762",
          },
        ],
        "question": " Question: What is the code for onyx? Answer: The code for onyx is",
      }
    `);
  });

  test('hides every fact once, in order, asks for one of them and fits', () => {
    fc.assert(
      fc.property(
        fc.record({
          tokens: fc.integer({ min: 400, max: 1500 }),
          facts: fc.integer({ min: 1, max: 12 }),
          digits: fc.integer({ min: 1, max: 7 }),
          seed: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
        }),
        (options) => {
          const { context, question, answer, facts, askedIndex } = factDocument(options);
          const places = facts.map((fact) => context.indexOf(fact.sentence));
          expect(places).not.toContain(-1);
          expect(places).toEqual(places.toSorted((a, b) => a - b));
          expect(new Set(facts.map((fact) => fact.key)).size).toBe(options.facts);
          expect(facts[askedIndex]?.value).toBe(answer);
          expect(answer).toMatch(new RegExp(`^[1-9]\\d{${options.digits - 1}}$`));
          expect(question).toContain(` for ${facts[askedIndex]?.key}?`);
          const used = estimateTokens(context + question);
          expect(used).toBeLessThanOrEqual(options.tokens);
          // The longest filler sentence has fewer than 20 tokens, so one more would not have fitted.
          expect(used).toBeGreaterThan(options.tokens - 20);
        },
      ),
      { numRuns: 60 },
    );
  });

  test('a longer document holds the same facts among more filler', () => {
    const [short, long] = [300, 900].map((tokens) => factDocument({ ...example, tokens }));
    expect(long?.facts).toEqual(short?.facts);
    expect(long?.question).toBe(short?.question);
    expect(long?.context.length).toBeGreaterThan(2 * (short?.context.length ?? 0));
  });

  test('spreads the facts evenly: one in each stretch', () => {
    for (let seed = 0; seed < 20; seed++) {
      const { context, facts } = factDocument({ tokens: 2000, facts: 8, digits: 5, seed });
      facts.forEach((fact, i) => {
        const depth = context.indexOf(fact.sentence) / context.length;
        expect(depth).toBeGreaterThan(i / 8 - 0.06);
        expect(depth).toBeLessThan((i + 1) / 8 + 0.06);
      });
    }
  });

  test('asks for each fact about equally often and differs by seed', () => {
    const documents = Array.from({ length: 400 }, (_, seed) => factDocument({ tokens: 200, facts: 4, digits: 5, seed }));
    for (const index of [0, 1, 2, 3]) {
      const times = documents.filter((document) => document.askedIndex === index).length;
      expect(times).toBeGreaterThan(65);
      expect(times).toBeLessThan(135);
    }
    expect(new Set(documents.map((document) => document.answer)).size).toBeGreaterThan(390);
  });

  test("counts with the caller's counter", () => {
    const countTokens = (text: string): number => text.length;
    const { context, question } = factDocument({ ...example, tokens: 2000, countTokens });
    expect((context + question).length).toBeLessThanOrEqual(2000);
    expect((context + question).length).toBeGreaterThan(1850);
  });

  test('counts a text few times: with a real tokenizer that is what takes long', () => {
    for (let seed = 0; seed < 20; seed++) {
      let counts = 0;
      const countTokens = (text: string): number => {
        counts += 1;
        return estimateTokens(text);
      };
      factDocument({ ...example, tokens: 1000, seed, countTokens });
      expect(counts).toBeLessThanOrEqual(7);
    }
  });

  test('takes keys of the caller, special characters and all', () => {
    const { context, question } = factDocument({ ...example, facts: 1, keys: ['$& {value}'] });
    expect(context).toContain('code for $& {value} is ');
    expect(question).toContain('the code for $& {value}?');
  });

  test.each([
    [{ tokens: 40 }, /2 facts of 5 digits and their question need \d+ tokens, but tokens is 40/],
    [{ tokens: 0 }, /tokens must be a whole number/],
    [{ facts: 0 }, /facts must be a whole number from 1 to 422/],
    [{ facts: 3, keys: ['a', 'b'] }, /facts must be a whole number from 1 to 2, got 3/],
    [{ digits: 1.5 }, /digits must be/],
    [{ seed: -1 }, /seed must be/],
  ])('refuses %o', (change, message) => {
    expect(() => factDocument({ ...example, ...change })).toThrow(
      expect.objectContaining({ name: 'KvsiftError', code: 'invalid_argument', message: expect.stringMatching(message) }),
    );
  });
});

test('the held-out keys are no training keys', () => {
  expect(unseenDemoKeys.filter((key) => demoKeys.includes(key))).toEqual([]);
  expect(new Set(demoKeys).size).toBe(demoKeys.length);
});
