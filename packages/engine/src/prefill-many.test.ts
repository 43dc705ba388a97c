import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createReferenceBackend } from '@kvsift/backend-reference';
import { allPolicies } from '@kvsift/policies';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { LanguageModel } from './language-model.js';
import { load } from './load.js';
import { prefillMany } from './prefill-many.js';
import { smallModel, writeRandomModel } from './testing/random-model.js';

const backend = createReferenceBackend();
const registry = allPolicies();
const prompt = Int32Array.from({ length: 40 }, (_, index) => (index * 17 + 5) % 60);
const expressions = [
  'full',
  'snapkv(window=4)',
  'adakv(snapkv(window=4))',
  'h2o(window=4)',
  'expected-attention',
  'criticalkv(snapkv(window=4))',
  'rerotate(knorm)',
  'cake(window=4)',
  'decoding(tova)',
  'ratchet(streaming-llm)',
  'rerotate(finch(question=4, segment=9))',
];
let folder: string;
let model: LanguageModel;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kvsift-many-'));
  model = await load(await writeRandomModel(join(folder, 'llama'), smallModel), { backend });
});

afterAll(async () => {
  model.dispose();
  await rm(folder, { recursive: true });
});

const open = (expression: string, budget: number | string = 12) =>
  model.session({ policy: registry.parse(expression), budget, layout: 'flattened', trackPositions: true });

describe('prefillMany', () => {
  it('leaves every session as if it had read alone, to the bit', async () => {
    const before = backend.memory().bytes;
    const sessions = expressions.map((expression) => open(expression));
    await prefillMany(model.decoder, sessions, prompt);
    for (const [index, session] of sessions.entries()) {
      using alone = open(expressions[index] ?? '');
      await alone.prefill(prompt);
      expect(await session.retained(1), expressions[index]).toEqual(await alone.retained(1));
      expect(await session.logits()).toEqual(await alone.logits());
      for (const id of [3, 9]) expect(await session.force(id), expressions[index]).toEqual(await alone.force(id));
      session.dispose();
    }
    expect(backend.memory().bytes - before).toBeLessThanOrEqual(smallModel.hidden * 4);
  });

  it('draws for each session what it would draw alone', async () => {
    for (const expression of ['random', 'nacl(recent=4)']) {
      const open = (sequence: number) =>
        model.session({ policy: registry.parse(expression), budget: 12, seed: 7 + sequence, sequence, trackPositions: true });
      const sessions = [0, 1, 2].map(open);
      await prefillMany(model.decoder, sessions, prompt);
      for (const [sequence, session] of sessions.entries()) {
        using alone = open(sequence);
        await alone.prefill(prompt);
        expect(await session.retained(1), `${expression} ${sequence}`).toEqual(await alone.retained(1));
        session.dispose();
      }
    }
  });

  it('refuses sessions that differ or have read, and fails as one', async () => {
    using used = open('knorm');
    await used.prefill(prompt);
    const mismatch = expect.objectContaining({ code: 'invalid_argument' });
    await expect(prefillMany(model.decoder, [open('knorm'), used], prompt)).rejects.toEqual(mismatch);
    const paged = model.session({ layout: 'paged' });
    await expect(prefillMany(model.decoder, [open('knorm'), paged], prompt)).rejects.toEqual(mismatch);
    using tight = open('snapkv(window=30)', 5);
    using fine = open('knorm');
    await expect(prefillMany(model.decoder, [fine, tight], prompt)).rejects.toEqual(
      expect.objectContaining({ code: 'budget_invalid' }),
    );
    await fine.prefill(prompt);
    expect(fine.statistics().seen).toBe(40);
  });
});
