import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createReferenceBackend } from '@kvsift/backend-reference';
import { snapkv } from '@kvsift/policy-snapkv';
import { conformance, evict, modelOf, randomInputs } from '@kvsift/policy-testkit';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { headBudgets, headkv } from './headkv.js';

const folder = mkdtempSync(join(tmpdir(), 'kvsift-headkv-'));
afterAll(() => rmSync(folder, { recursive: true }));
const inputs = randomInputs(1);
const budget = { kind: 'tokens', tokens: 24 } as const;
const scorer = () => snapkv({ window: 4 });

function table(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

describe('headkv', () => {
  const subject = { definition: headkv.definition, make: () => headkv({ policy: scorer() }) };
  for (const { name, run } of conformance(subject, createReferenceBackend)) it(name, run);

  it('is the wrapped policy where all heads are alike', async () => {
    const own = await evict(createReferenceBackend(), headkv({ policy: scorer() }), inputs, { budget });
    const plain = await evict(createReferenceBackend(), scorer(), inputs, { budget });
    expect(own.kept).toEqual(plain.kept);
  });

  it('gives important heads more and sums to the budget', async () => {
    const path = table('two.json', '{"importance": [[3, 1]]}');
    const { kept, total } = await evict(createReferenceBackend(), headkv({ policy: scorer(), table: path }), inputs, { budget });
    expect(total).toBe(48);
    expect(kept[0]?.length).toBeGreaterThan(kept[1]?.length ?? 0);
  });

  it('past: the window comes on top of the budget', async () => {
    const { kept } = await evict(createReferenceBackend(), headkv({ policy: scorer(), counted: 'past' }), inputs, { budget });
    expect(kept.map((slots) => slots.length)).toEqual([28, 28]);
    const tight = await evict(createReferenceBackend(), headkv({ policy: scorer(), counted: 'past' }), inputs, {
      budget: { kind: 'tokens', tokens: inputs.length - 2 },
    });
    expect(tight.total).toBe(2 * inputs.length);
  });

  it('brings a table for SmolLM2-135M', () => {
    const model = { ...modelOf(inputs, 30), queryHeads: 9, kvHeads: 3 };
    const context = { model, promptLength: 1000, budget: { kind: 'tokens', tokens: 200 }, seed: 0, sequence: 0 } as const;
    using run = headkv({ table: 'smollm2-135m-instruct' }).begin(context);
    const totals = run.budgets.map(({ total }) => total);
    expect(totals.reduce((sum, total) => sum + total, 0)).toBe(30 * 3 * 200);
    expect(Math.max(...totals)).toBeGreaterThan(2 * Math.min(...totals));
  });

  it('shares exactly, whatever the table', () => {
    const rows = fc.array(fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 2, maxLength: 2 }), {
      minLength: 3,
      maxLength: 3,
    });
    fc.assert(
      fc.property(rows, fc.integer({ min: 1, max: 200 }), (importance, perHead) => {
        const model = { ...modelOf(inputs), layers: 3 };
        const uniform = importance.map(() => ({ perHead, total: 2 * perHead }));
        const counts = headBudgets({ model, promptLength: 150 }, uniform, { first: 0, last: 0 }, importance, 1.5, 1);
        expect(counts.flat().reduce((sum, count) => sum + count, 0)).toBe(6 * Math.min(perHead, 150));
        expect(Math.max(...counts.flat())).toBeLessThanOrEqual(150);
      }),
    );
  });

  it.each([
    ['missing.json', undefined, 'file_not_found'],
    ['text.json', 'no json', 'file_malformed'],
    ['gates.json', '{"kind": "gates", "importance": [[1, 1]]}', 'file_malformed'],
    ['negative.json', '{"importance": [[1, -1]]}', 'file_malformed'],
    ['empty.json', '{"importance": []}', 'file_malformed'],
    ['zeros.json', '{"importance": [[0, 0, 0, 0]]}', 'policy_invalid'],
  ])('refuses the table %s', (name, content, code) => {
    const path = content === undefined ? join(folder, name) : table(name, content);
    expect(() => headkv({ table: path })).toThrow(expect.objectContaining({ code }));
  });

  it('says what shape it expects of a table of another model', async () => {
    const path = table('other.json', '{"importance": [[1, 1, 1]]}');
    const evicted = evict(createReferenceBackend(), headkv({ table: path, policy: scorer() }), inputs, { budget });
    await expect(evicted).rejects.toThrow(/1 layers of 3 heads; this model has 1 layers of 4 query heads \(2 KV heads\)/);
  });
});
