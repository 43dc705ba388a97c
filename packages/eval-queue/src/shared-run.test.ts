import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { parseRunConfig, type Result, type RunEvent, readRun, runEvaluation, type Suite } from '@kvsift/eval';
import { allPolicies } from '@kvsift/policies';
import { createRegistry, definePolicy, type PolicyRegistry, parseBudget } from '@kvsift/policy';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SharedRun } from './shared-run.js';
import { factReader } from './testing/fact-reader.js';
import { RedisServer, redisBinary } from './testing/redis-server.js';
import { WorkerProcesses } from './testing/worker-processes.js';
import { runWorker, type WorkerEvent } from './worker.js';

const code = { version: 'test', folder: tmpdir() };

/** Facts to find; some samples upset a worker, one is too long for the engine (see testing/fact-reader.ts). */
function suite(samples: number, special: Readonly<Record<number, string>> = {}): Suite {
  return {
    name: 'facts',
    tasks: ['facts'],
    profiles: ['exact'],
    async *samples() {
      for (let index = 0; index < samples; index++) {
        const text = `amber is ${100 + index}. The river runs. birch is ${200 + index}. `;
        const context = special[index] === 'long' ? text.repeat(100) : `${text}${special[index] ?? ''}`;
        const limits = { maxNewTokens: 4, stop: [], chat: 'never' } as const;
        yield { id: `${index}`, task: 'facts', context, question: 'birch?', expected: `${200 + index}`, ...limits };
      }
    },
    score: ({ expected }, prediction) => Number(prediction === expected),
  };
}

const config = parseRunConfig(
  {
    models: ['facts'],
    policies: ['snapkv(window=8)', 'random'],
    budgets: ['50%'],
    suites: ['facts'],
  },
  'test',
);

/** What two runs must agree on: everything but times. */
const comparable = (results: readonly Result[]) =>
  results.map(({ prefillSeconds, firstTokenSeconds, decodeSeconds, ...rest }) => JSON.stringify(rest)).sort();

const binary = redisBinary();

describe.skipIf(binary === undefined)(
  'a shared run (needs redis-server: apt-get install redis-server)',
  { timeout: 240_000 },
  () => {
    let server: RedisServer;
    let workers: WorkerProcesses;
    let folder: string;
    let number = 0;

    beforeAll(async () => {
      server = await RedisServer.start(binary ?? '');
      workers = await WorkerProcesses.prepare(server.url);
      folder = await mkdtemp(join(tmpdir(), 'kvsift-shared-'));
    });
    afterAll(async () => {
      await workers[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
      await rm(folder, { recursive: true });
    });

    const openEngine = async () => factReader();
    const environment = { registry: allPolicies(), code, openEngine };

    async function oneProcess(of: Suite): Promise<readonly Result[]> {
      const out = join(folder, `alone-${number++}`);
      await runEvaluation(config, out, { ...environment, suite: () => of });
      return (await readRun(out)).results;
    }

    async function shared(of: Suite, out: string, options: { signal?: AbortSignal; onEvent?: (event: RunEvent) => void } = {}) {
      const facts = { kvsift: 'test', commit: null, backend: 'reference', kvType: null };
      await using run = await SharedRun.open({ url: server.url, run: out, facts, backoff: 10, sweep: 500 });
      const outcome = await runEvaluation(config, join(folder, out), {
        ...environment,
        suite: () => of,
        openEngine: async (model) => run.engine(model, await openEngine()),
        concurrency: 8,
        ...options,
      });
      await run.close();
      return { outcome, results: (await readRun(join(folder, out))).results };
    }

    /** Keys that no one will remove. A worker that has not yet heard of the end may still touch its queue's bookkeeping. */
    async function leftovers(): Promise<string[]> {
      const redis = new Redis(server.url);
      const keys = await redis.keys('*');
      redis.disconnect();
      // Workers of other tests at this server may refuse a run that has just ended.
      return keys.filter((key) => !/:(meta|stalled-check)$|:refused:/.test(key));
    }

    /** Numbers of the connections that the server has, that of this question left out. */
    async function clients(): Promise<string[]> {
      const redis = new Redis(server.url);
      const [own, list] = [await redis.client('ID'), String(await redis.client('LIST'))];
      redis.disconnect();
      return [...list.matchAll(/^id=(\d+)/gm)].map(([, id = '']) => id).filter((id) => id !== String(own));
    }

    it('gives the results of one process, line for line, while its workers are killed', async () => {
      const of = suite(6, { 3: 'long' });
      let kills = 3;
      const join = () =>
        workers.start(({ type }, kill) => {
          if (type !== 'reading' || kills === 0) return;
          kills -= 1;
          kill();
          join();
        });
      join();
      join();
      const { outcome, results } = await shared(of, 'killed');
      expect(kills).toBe(0);
      expect(outcome).toMatchObject({ added: 18, done: 18, total: 18, failed: 3, interrupted: false });
      expect(comparable(results)).toEqual(comparable(await oneProcess(of)));
      expect(results.filter(({ error }) => error).map(({ error }) => error?.code)).toEqual(
        Array(3).fill('context_length_exceeded'),
      );
      expect(await leftovers()).toEqual([]);
    });

    it('sets aside what three workers fail at or die of, with its error, and does the rest', async () => {
      const keepAlive = setInterval(() => workers.running < 2 && workers.start(), 100);
      try {
        const { results, outcome } = await shared(suite(3, { 1: 'poisonous', 2: 'deadly' }), 'poison');
        expect(outcome).toMatchObject({ total: 9, done: 9, failed: 6 });
        const messages = (id: string) =>
          new Set(results.filter(({ sample }) => sample === id).map(({ error }) => error?.message));
        expect(messages('1')).toEqual(new Set(['set aside after 3 tries: the accelerator is on fire']));
        expect(messages('2')).toEqual(new Set(['set aside after 3 tries: its workers died or stopped answering']));
        expect(messages('0')).toEqual(new Set([undefined]));
      } finally {
        clearInterval(keepAlive);
      }
    });

    it('goes on where it was stopped, with the answers that came in between', async () => {
      const of = suite(5);
      if (workers.running === 0) workers.start();
      const stop = new AbortController();
      const onEvent = (event: RunEvent) => event.type === 'result' && event.done === 4 && stop.abort();
      await expect(shared(of, 'stopped', { signal: stop.signal, onEvent })).rejects.toMatchObject({ code: 'aborted' });
      const before = (await readRun(join(folder, 'stopped'))).results.length;
      expect(before).toBeLessThan(15);
      await setTimeout(1500);
      const { results, outcome } = await shared(of, 'stopped');
      expect(outcome.added).toBe(15 - before);
      expect(comparable(results)).toEqual(comparable(await oneProcess(of)));
    });

    it('asks again for what a server forgot, and answers equal requests alike', async () => {
      if (workers.running === 0) workers.start();
      const facts = { kvsift: 'test', commit: null, backend: 'reference', kvType: null };
      await using run = await SharedRun.open({ url: server.url, run: 'forgotten', facts, sweep: 300 });
      await using engine = run.engine({ path: 'facts' }, await openEngine());
      const question = { text: 'amber?', maxNewTokens: 4, stop: [] };
      const ask = async (context: string) => {
        const request = { context, addSpecial: true, questions: [question], setting: { seed: 0, sequence: 0 } };
        for await (const { text } of engine.answer(request)) return text;
        return undefined;
      };
      const answers = Promise.all([ask('amber is 123.'), ask('amber is 123.'), ask('amber is 456.')]);
      const redis = new Redis(server.url);
      await redis.flushall();
      redis.disconnect();
      expect(await answers).toEqual(['123', '123', '456']);
      await run.close();
    });

    it('takes no part in a run of other code, and says why', async () => {
      const facts = { kvsift: 'another', commit: null, backend: 'reference', kvType: null };
      const told: string[][] = [];
      const onRefused = (worker: string, reason: string) => told.push([worker, reason]);
      await using run = await SharedRun.open({ url: server.url, run: 'foreign', facts, sweep: 100, onRefused });
      await using engine = run.engine({ path: 'facts' }, await openEngine());
      const stop = new AbortController();
      const request = { context: 'a', addSpecial: true, questions: [], setting: { seed: 0, sequence: 0 }, signal: stop.signal };
      const answer = engine.answer(request)[Symbol.asyncIterator]().next();
      const refusals: string[] = [];
      const finish = new AbortController();
      const working = runWorker({
        ...{
          url: server.url,
          registry: allPolicies(),
          openEngine,
          code: { version: 'test', commit: null },
          finish: finish.signal,
        },
        onEvent: (event) => {
          if (event.type !== 'refused' || event.run !== 'foreign') return;
          refusals.push(event.reason);
          finish.abort();
        },
      });
      expect(await working).toBe(0);
      expect(refusals).toEqual(['kvsift: "another" and "test"']);
      // Workers of other tests at this server take no part either.
      await expect
        .poll(() => told, { timeout: 10_000 })
        .toContainEqual([expect.stringContaining(`:${process.pid}`), 'kvsift: "another" and "test"']);
      stop.abort();
      await expect(answer).rejects.toMatchObject({ code: 'aborted' });
      await run.close();
      const redis = new Redis(server.url);
      const [kept = ''] = await redis.keys('*:refused:foreign');
      expect(Object.keys(await redis.hgetall(kept)).filter((worker) => worker.endsWith(`:${process.pid}`))).toEqual([]);
      redis.disconnect();
    });

    it('leaves a run alone whose policy it lacks, and computes it where it has the policy', async () => {
      const known = allPolicies();
      const present = known.factories.get('snapkv');
      if (present === undefined) throw new Error('there is no snapkv');
      const mine = definePolicy({ ...present.definition, name: 'mine' });
      const registry = createRegistry([...known.factories.values(), mine], []);
      const facts = { kvsift: 'test', commit: null, backend: 'reference', kvType: null };
      const outside = { mine: '1.0.0 aaaaaaaaaaaa' };
      await using run = await SharedRun.open({ url: server.url, run: 'outside', facts, policies: ['mine(window=8)'], outside });
      await using engine = run.engine({ path: 'facts' }, await openEngine());
      const questions = [{ text: 'amber?', maxNewTokens: 4, stop: [] }];
      const setting = { policy: registry.parse('mine(window=8)'), budget: parseBudget('50%'), seed: 0, sequence: 0 };
      const request = { context: 'amber is 100. birch is 200. ', addSpecial: true, questions, setting };
      const answer = engine.answer(request)[Symbol.asyncIterator]().next();
      const before = new Set(await clients());
      const work = async (registry: PolicyRegistry, last: WorkerEvent['type']) => {
        const told: WorkerEvent[] = [];
        const finish = new AbortController();
        await runWorker({
          ...{ url: server.url, registry, openEngine, code: { version: 'test', commit: null }, finish: finish.signal },
          onEvent: (event) => {
            told.push(event);
            if (event.type === last) finish.abort();
          },
        });
        return told;
      };
      const refused = await work(known, 'refused');
      expect(refused).toMatchObject([{ type: 'refused', lacks: 'policy', reason: expect.stringContaining('mine') }]);
      const other = { ...registry, versions: new Map([['mine', '1.0.1 bbbbbbbbbbbb']]) };
      expect(await work(other, 'refused')).toMatchObject([
        { type: 'refused', lacks: 'likeness', reason: 'policies.mine: "1.0.0 aaaaaaaaaaaa" and "1.0.1 bbbbbbbbbbbb"' },
      ]);
      const same = { ...registry, versions: new Map(Object.entries(outside)) };
      expect((await work(same, 'answered')).map(({ type }) => type)).toContain('answered');
      expect((await answer).value).toMatchObject({ text: '100' });
      // A connection that is left open keeps the process of a worker alive.
      await expect.poll(async () => (await clients()).filter((id) => !before.has(id))).toEqual([]);
      await run.close();
    });
  },
);

describe('a queue', () => {
  const facts = { kvsift: 'test', commit: null, backend: 'reference', kvType: null };

  it('that is not there is named', async () => {
    const opening = SharedRun.open({ url: 'redis://127.0.0.1:1', run: 'a', facts });
    await expect(opening).rejects.toMatchObject({ code: 'queue_unavailable', message: expect.stringContaining('127.0.0.1:1') });
  });

  it('has an address of the right kind', async () => {
    for (const url of ['localhost', 'http://127.0.0.1', '']) {
      await expect(SharedRun.open({ url, run: 'a', facts })).rejects.toMatchObject({ code: 'invalid_argument' });
    }
  });
});
