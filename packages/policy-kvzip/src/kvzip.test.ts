import { createReferenceBackend } from '@kvsift/backend-reference';
import { describe, expect, it } from 'vitest';
import { evictLowest } from './eviction.js';
import { kvzip } from './kvzip.js';

const model = { layers: 2, queryHeads: 2, kvHeads: 2, headDim: 4, hidden: 8, entryBytes: 32 };
const begin = (options: Parameters<typeof kvzip>[0], promptLength = 20) =>
  kvzip(options).begin({ model, promptLength, budget: { kind: 'share', numerator: 1, denominator: 2 }, seed: 0, sequence: 0 });
const encode = (text: string) => Int32Array.from({ length: text.length > 50 ? 3 : 2 }, () => (text.length > 50 ? 901 : 900));

describe('kvzip', () => {
  it('repeats the context in parts, each begun with the end of the one before', () => {
    const prompt = Int32Array.from({ length: 20 }, (_, index) => index);
    const passes = begin({ chunk: 10, prefix: 4, suffix: '' }).passes(prompt, encode);
    expect(passes.map((pass) => [...pass])).toEqual([
      [900, 900, ...prompt.slice(4, 14)],
      [901, 901, 901, ...prompt.slice(6, 14), ...prompt.slice(14, 20)],
    ]);
  });

  it.each([
    [100, 300],
    [400, 300],
  ])('refuses a prefix of %i tokens that %i tokens cut to 64 cannot keep', (prefix, promptLength) => {
    const context = { model, promptLength, budget: { kind: 'tokens', tokens: 64 }, seed: 0, sequence: 0 } as const;
    expect(() => kvzip({ prefix }).begin(context)).toThrow(expect.objectContaining({ code: 'budget_invalid' }));
    expect(kvzip({ prefix, keepPrefix: false }).begin(context).budgets[0]?.perHead).toBe(64);
  });

  it('cuts a prompt that is all prefix to its share', () => {
    const decisions = begin({ prefix: 30 }).decide(createReferenceBackend());
    const totals = decisions.map((decision) => (decision !== 'all' && 'total' in decision ? decision.total : undefined));
    expect(totals).toEqual([20, 20]);
  });
});

describe('evictLowest', () => {
  const scores = [Float32Array.of(5, 1, 2, 9, 8, 7), Float32Array.of(3, 4, 6, 0, 10, 11)];
  const kept = async (options: Parameters<typeof evictLowest>[3]) => {
    const decisions = evictLowest(createReferenceBackend(), scores, 2, options);
    return Promise.all(
      decisions.map(async (decision) =>
        decision !== 'all' && !('selection' in decision) ? [...(await decision.offsets.read())] : [],
      ),
    );
  };

  it('lets all layers compete', async () => {
    // 0, 1, 2, 3 go: two of each layer.
    expect(await kept({ total: 4 })).toEqual([
      [0, 1, 4],
      [0, 2, 4],
    ]);
  });

  it('takes the same number from every layer on request', async () => {
    expect(await kept({ total: 0, perLayer: 3 })).toEqual([
      [0, 0, 3],
      [0, 1, 3],
    ]);
  });
});
