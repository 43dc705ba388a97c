import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createReferenceBackend } from '@kvsift/backend-reference';
import { allPolicies } from '@kvsift/policies';
import { snapkv } from '@kvsift/policy-snapkv';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { generateBatch } from './batch.js';
import { DecodeLoop } from './decode.js';
import type { LanguageModel } from './language-model.js';
import { load } from './load.js';
import { Session } from './session.js';
import type { SessionOptions } from './session-options.js';
import { writeRandomModel } from './testing/random-model.js';

const backend = createReferenceBackend();
const lengths = [30, 7, 18, 25];
const prompts = lengths.map((length, which) => Int32Array.from({ length }, (_, index) => (index * 17 + 5 + which) % 60));
const free = { ignoreEos: true };
let folder: string;
let model: LanguageModel;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kvsift-batch-'));
  model = await load(await writeRandomModel(folder), { backend });
});
afterEach(() => {
  vi.restoreAllMocks();
});
afterAll(async () => {
  model.dispose();
  await rm(folder, { recursive: true });
});

async function begin(options: readonly SessionOptions[] = prompts.map(() => ({}))): Promise<Session[]> {
  const sessions = options.map((one) => model.session(one));
  for (const [index, session] of sessions.entries()) await session.prefill(prompts[index] ?? []);
  return sessions;
}

/** What each would answer by itself. */
async function alone(maxTokens: number, options?: readonly SessionOptions[]): Promise<number[][]> {
  return Promise.all((await begin(options)).map((session) => rest(session, maxTokens)));
}

async function rest(session: Session, maxTokens: number): Promise<number[]> {
  using own = session;
  const ids: number[] = [];
  if (maxTokens > 0) for await (const { id } of own.generate({ ...free, maxTokens })) ids.push(id);
  return ids;
}

describe('a batch', () => {
  const mixed = [{}, { policy: snapkv({ window: 4 }), budget: 12 }, {}, { layout: 'paged', blockSize: 4 }] as const;
  const decoding = [{}, { policy: allPolicies().parse('decoding(tova, interval=3)'), budget: 12 }, {}, {}];
  for (const [what, options] of [
    ['full caches', undefined],
    ['evicted ones and blocks among them', mixed],
    ['a policy that evicts while decoding among them', decoding],
  ] as const) {
    it(`answers as its sessions do alone, whenever they end, and lets each go on (${what})`, async () => {
      const expected = await alone(12, options);
      const counts = [3, 9, 1, 6];
      const sessions = await begin(options);
      const together: number[][] = prompts.map(() => []);
      const each = counts.map((maxTokens) => ({ ...free, maxTokens }));
      for await (const { id, session, cache } of generateBatch(model.decoder, sessions, each)) {
        together[session]?.push(id);
        if (options === undefined) expect(cache.seen).toBe((lengths[session] ?? 0) + (together[session]?.length ?? 0) - 1);
      }
      for (const [index, session] of sessions.entries()) {
        const count = counts[index] ?? 0;
        expect(together[index]).toEqual(expected[index]?.slice(0, count));
        expect(session.length).toBe((lengths[index] ?? 0) + count);
        expect(await rest(session, 12 - count)).toEqual(expected[index]?.slice(count));
      }
    });
  }

  it('starts the next step before its tokens have been read, and leaves no trace of it where the loop is left', async () => {
    const ahead = vi.spyOn(DecodeLoop.prototype, 'stepWith');
    const expected = await alone(6);
    ahead.mockClear();
    for (const chunks of [1, 4, 6, 9, 11]) {
      const sessions = await begin();
      const together: number[][] = prompts.map(() => []);
      let left = chunks;
      for await (const { id, session } of generateBatch(model.decoder, sessions, free)) {
        together[session]?.push(id);
        if (--left === 0) break;
      }
      for (const [index, session] of sessions.entries()) {
        const taken = together[index] ?? [];
        expect(session.length).toBe((lengths[index] ?? 0) + taken.length);
        expect([...taken, ...(await rest(session, 6 - taken.length))]).toEqual(expected[index]);
      }
      if (chunks > 2 * prompts.length) expect(ahead).toHaveBeenCalled();
    }
  });

  it('goes on with sessions that were looked at, forked and asked for logits in between', async () => {
    const expected = await alone(7);
    const sessions = await begin();
    const together: number[][] = prompts.map(() => []);
    for await (const { id, session } of generateBatch(model.decoder, sessions, { ...free, maxTokens: 7 })) {
      together[session]?.push(id);
      const count = together[session]?.length ?? 0;
      const touched = sessions[(session + count) % sessions.length];
      if (count % 3 === 0) expect(touched?.statistics().seen).toBeGreaterThan(0);
      if (count % 3 === 1) await touched?.logits();
      if (count % 3 === 2 && touched !== undefined) {
        const at = sessions.indexOf(touched);
        const next = together[at]?.length ?? 0;
        expect(await rest(touched.fork(), 1)).toEqual(expected[at]?.slice(next, next + 1) ?? []);
      }
    }
    expect(together).toEqual(expected);
    for (const session of sessions) session.dispose();
  });

  it('takes the step back where a token ends an answer, and the others go on', async () => {
    const expected = await alone(6);
    // The third token of the first one, where no answer has said it before.
    const end = expected[0]?.[2] ?? -1;
    const until = (ids: readonly number[]) => (ids.includes(end) ? ids.slice(0, ids.indexOf(end) + 1) : [...ids]);
    const { decoder, contextLength } = model;
    const sessions = prompts.map(
      () =>
        new Session({
          ...{ decoder, contextLength, tokenizer: undefined },
          ...{ eosIds: new Set([end]), fingerprint: () => model.fingerprint() },
        }),
    );
    for (const [index, session] of sessions.entries()) await session.prefill(prompts[index] ?? []);
    const together: number[][] = prompts.map(() => []);
    const reasons: (string | undefined)[] = [];
    for await (const { id, session, finishReason } of generateBatch(decoder, sessions, { maxTokens: 6 })) {
      together[session]?.push(id);
      reasons[session] = finishReason;
    }
    expect(together).toEqual(expected.map(until));
    expect(reasons[0]).toBe('eos');
    for (const [index, session] of sessions.entries()) {
      const said = (together[index] ?? []).filter((id) => id !== end);
      using fresh = model.session();
      await fresh.prefill([...(prompts[index] ?? []), ...said]);
      const [again, right] = [await session.logits(), await fresh.logits()];
      for (const [at, value] of right.entries()) expect(again[at]).toBeCloseTo(value, 4);
      session.dispose();
    }
  });

  it('goes on where an answer before has ended, whose last token nobody has fed', async () => {
    const expected = await alone(8);
    const sessions = await begin();
    const together: number[][] = prompts.map(() => []);
    for (const [index, session] of sessions.entries()) {
      if (index === 0) continue;
      for await (const { id } of session.generate({ ...free, maxTokens: index })) together[index]?.push(id);
    }
    for (const maxTokens of [2, 3]) {
      for await (const { id, session } of generateBatch(model.decoder, sessions, { ...free, maxTokens }))
        together[session]?.push(id);
    }
    for (const [index, ids] of together.entries()) expect(ids).toEqual(expected[index]?.slice(0, 5 + index));
  });

  it('frees what it held', async () => {
    await backend.finish();
    const before = backend.memory().bytes;
    const sessions = await begin();
    const answers = generateBatch(model.decoder, sessions, free);
    for (let chunk = 0; chunk < 11; chunk++) await answers.next();
    await answers.return();
    for (const session of sessions) session.dispose();
    await backend.finish();
    expect(backend.memory().bytes).toBe(before);
  });

  it('refuses a session that comes twice, and ends where one was disposed', async () => {
    const [one, two] = await begin();
    if (one === undefined || two === undefined) throw new Error('too few sessions');
    const twice = generateBatch(model.decoder, [one, two, one], free);
    await expect(twice.next()).rejects.toThrow('a batch holds a session once: fork() makes a second one');
    const answers = generateBatch(model.decoder, [one, two], free);
    for (let chunk = 0; chunk < 4; chunk++) await answers.next();
    two.dispose();
    const disposed = expect.objectContaining({ code: 'disposed', message: 'this session was disposed' });
    await expect(answers.next()).rejects.toEqual(disposed);
    await expect(generateBatch(model.decoder, [two], free).next()).rejects.toEqual(disposed);
    await expect(two.retained(0)).rejects.toEqual(disposed);
    expect(await rest(one, 2)).toHaveLength(2);
  });
});
