import { createReferenceBackend } from '@kvsift/backend-reference';
import { demoModelPath, factDocument } from '@kvsift/demo-model';
import { type LanguageModel, load, Session } from '@kvsift/engine';
import { knorm } from '@kvsift/policy-knorm';
import { snapkv } from '@kvsift/policy-snapkv';
import { streamingLlm } from '@kvsift/policy-streaming-llm';
import { threshold } from '@kvsift/policy-threshold';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { parsePrompts } from './prompts.js';
import { holds } from './quality.js';
import { type Trial, tune } from './tune.js';

const backend = createReferenceBackend();
let model: LanguageModel;
const documents = Array.from({ length: 4 }, (_, seed) => {
  const { context, question, answer } = factDocument({ tokens: 128, facts: 2, digits: 4, seed });
  return { prompt: context + question, answer };
});

beforeAll(async () => {
  model = await load(demoModelPath(), { backend });
});
afterAll(async () => {
  model.dispose();
  await backend.dispose();
});

describe('tuning', () => {
  const policies = [streamingLlm({ sinks: 4 }), snapkv({ window: 8 })];

  it('takes the cheapest that still finds the answers', async () => {
    const trials: Trial[] = [];
    const { best, tried, full } = await tune(model, documents, {
      ...{ policies, budgets: ['40%', '100%'], maxTokens: 6, first: 2 },
      onTrial: (trial) => trials.push(trial),
    });
    expect(full).toMatchObject({ found: 4, expected: 4 });
    expect(best).toMatchObject({ policy: expect.stringContaining('snapkv'), budget: '40%', quality: 1, prompts: 4 });
    expect(best?.cacheBytes).toBeLessThan(0.42 * full.cacheBytes);
    expect(tried).toHaveLength(4);
    expect(trials.slice(0, 4).every(({ prompts }) => prompts === 2)).toBe(true);
  });

  it('tries a policy that ignores budgets once', async () => {
    const own = threshold({ policy: knorm(), threshold: -4 });
    const { tried } = await tune(model, documents, { policies: [own], budgets: ['40%', '100%'], maxTokens: 6 });
    expect(tried.map(({ budget }) => budget)).toEqual(['own']);
  });

  it('goes by the probability of the full cache answer where none is given', async () => {
    const open = documents.slice(0, 2).map(({ prompt }) => ({ prompt }));
    const options = { policies, budgets: ['100%', '10%'], maxTokens: 6, target: 0.999 };
    const { best, tried, full } = await tune(model, open, options);
    const of = (budget: string, name: string) => tried.find((trial) => trial.budget === budget && trial.policy.startsWith(name));
    expect(full).toMatchObject({ expected: 0 });
    expect(of('100%', 'snapkv')?.quality).toBeCloseTo(1, 3);
    expect(of('10%', 'streaming-llm')?.quality).toBeLessThan(0.9);
    // The full budget evicts nothing: that is no find.
    expect(best).toBeUndefined();
    expect((await tune(model, open, { ...options, budgets: ['10%'], target: 0.01 })).best).toMatchObject({ budget: '10%' });
  });

  it('compares a candidate with the full cache on the prompts that it has read', async () => {
    const short = factDocument({ tokens: 64, facts: 2, digits: 4, seed: 0 });
    const mixed = [{ prompt: short.context + short.question, answer: short.answer }, ...documents];
    const { tried } = await tune(model, mixed, { policies, budgets: ['50%', '90%', '100%'], maxTokens: 6, first: 1 });
    expect(Math.min(...tried.map(({ prompts }) => prompts))).toBeLessThan(mixed.length);
    for (const { budget, cacheShare } of tried) expect(cacheShare).toBeCloseTo(Number.parseInt(budget, 10) / 100, 1);
  });

  it('ends as aborted wherever it is stopped', async () => {
    const stop = new AbortController();
    const stopping = { policies, budgets: ['50%'], maxTokens: 6, signal: stop.signal };
    const force = vi.spyOn(Session.prototype, 'force').mockImplementationOnce(function (this: Session, id) {
      stop.abort();
      return this.force(id);
    });
    const open = documents.map(({ prompt }) => ({ prompt }));
    await expect(tune(model, open, stopping)).rejects.toMatchObject({ code: 'aborted' });
    expect(force).toHaveBeenCalled();
  });

  it('says so where only the full cache holds', async () => {
    const { best, tried } = await tune(model, documents, { policies: [streamingLlm()], budgets: ['5%', '10%'], maxTokens: 6 });
    expect(best).toBeUndefined();
    expect(tried.every(({ quality }) => quality < 0.99)).toBe(true);
  });

  it('needs something to choose from, and answers that can be found', async () => {
    const nothing = tune(model, [], { policies, budgets: ['50%'] });
    await expect(nothing).rejects.toMatchObject({ code: 'invalid_argument' });
    await expect(tune(model, documents, { policies, budgets: ['50%'], target: 2 })).rejects.toThrow('target');
    const impossible = documents.slice(0, 1).map(({ prompt }) => ({ prompt, answer: 'Paris' }));
    await expect(tune(model, impossible, { policies, budgets: ['50%'], maxTokens: 6 })).rejects.toThrow(
      'finds none of the 1 answers',
    );
  });
});

describe('prompts', () => {
  it('are JSON lines; what is wrong is named with its line', () => {
    expect(parsePrompts('{"prompt": "a", "answer": "b"}\n\n{"prompt": "c"}', 'x.jsonl')).toEqual([
      { prompt: 'a', answer: 'b' },
      { prompt: 'c' },
    ]);
    expect(() => parsePrompts('{"prompt": "a"}\n{"prompt": 3}', 'x.jsonl')).toThrow('x.jsonl, line 2: prompt');
    expect(() => parsePrompts('\n{"prompt": "a", "anwser": "b"}', 'x.jsonl')).toThrow(/x\.jsonl, line 2: .*"anwser"/);
    expect(() => parsePrompts('{"prompt": "a", "answer": " "}', 'x.jsonl')).toThrow('x.jsonl, line 1: answer: expected text');
    expect(() => parsePrompts('{"prompt"', 'x.jsonl')).toThrow('x.jsonl, line 1: expected a JSON object');
    expect(() => parsePrompts(' \n', 'x.jsonl')).toThrow('at least one prompt');
  });

  it('have their answer in a text whatever its case and white space', () => {
    expect(holds('It is in  New\nYork.', 'new york')).toBe(true);
    expect(holds('It is in New Jersey.', 'new york')).toBe(false);
  });
});
