import { setTimeout } from 'node:timers/promises';
import { allPolicies } from '@kvsift/policies';
import { KvsiftError } from '@kvsift/tensor';
import { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import { SharedRun } from './shared-run.js';
import { factReader } from './testing/fact-reader.js';
import { RedisServer, redisBinary } from './testing/redis-server.js';
import { runWorker, type WorkerEvent } from './worker.js';

const binary = redisBinary() ?? '';
const facts = { kvsift: 'test', commit: null, backend: 'reference', kvType: null };
const questions = [{ text: 'amber?', maxNewTokens: 4, stop: [] }];
const request = { context: 'amber is 100. ', addSpecial: true, questions, setting: { seed: 0, sequence: 0 } };

describe.skipIf(binary === '')('a server (needs redis-server: apt-get install redis-server)', () => {
  it('that has gone is told of, and holds nobody who is told to finish', async () => {
    const server = await RedisServer.start(binary);
    const finish = new AbortController();
    const told: (boolean | WorkerEvent['type'])[] = [];
    const { url } = server;
    const run = await SharedRun.open({
      url,
      run: 'r',
      facts,
      finish: finish.signal,
      onConnection: (isThere) => told.push(isThere),
    });
    const engine = run.engine({ path: 'facts' }, factReader());
    const ask = (context: string) =>
      engine
        .answer({ ...request, context, signal: finish.signal })
        [Symbol.asyncIterator]()
        .next();
    const answered = ask(request.context);
    const working = runWorker({
      ...{ url, registry: allPolicies(), finish: finish.signal },
      ...{ openEngine: async () => factReader(), code: { version: 'test', commit: null } },
      onEvent: ({ type }) => told.push(type),
    });
    expect((await answered).value).toMatchObject({ text: '100' });
    await server[Symbol.asyncDispose]();
    const unanswered = expect(ask('birch is 200. ')).rejects.toMatchObject({ code: 'aborted' });
    await expect.poll(() => told).toEqual(expect.arrayContaining([false, 'lost']));
    // Long enough that all of them wait for the server.
    await setTimeout(600);
    finish.abort();
    await unanswered;
    expect(await working).toBe(1);
    await run[Symbol.asyncDispose]();
  }, 20_000);

  it('has a run told of a worker that cannot open its model, and keeps the worker', async () => {
    await using server = await RedisServer.start(binary);
    const { url } = server;
    const stop = new AbortController();
    const finish = new AbortController();
    const told: string[] = [];
    await using run = await SharedRun.open({ url, run: 'r', facts, sweep: 50, onRefused: (_, reason) => told.push(reason) });
    const engine = run.engine({ path: 'far/away.gguf' }, factReader());
    const answer = engine
      .answer({ ...request, signal: stop.signal })
      [Symbol.asyncIterator]()
      .next();
    const events: WorkerEvent[] = [];
    const working = runWorker({
      ...{ url, registry: allPolicies(), code: { version: 'test', commit: null }, finish: finish.signal },
      openEngine: async ({ path }) => {
        throw new KvsiftError('file_not_found', `${path} does not exist`);
      },
      onEvent: (event) => events.push(event),
    });
    await expect.poll(() => told).toEqual(['far/away.gguf does not exist']);
    expect(events).toMatchObject([{ type: 'refused', lacks: 'model', reason: 'far/away.gguf does not exist' }]);
    finish.abort();
    expect(await working).toBe(0);
    stop.abort();
    await expect(answer).rejects.toMatchObject({ code: 'aborted' });
  });

  it('that refuses is told from one that is not there', async () => {
    await using server = await RedisServer.start(binary);
    const open = (url: string) => SharedRun.open({ url, run: 'r', facts });
    await expect(open(`${server.url}/99`)).rejects.toMatchObject({
      code: 'queue_unavailable',
      message: expect.stringMatching(/^the Redis at .* refuses: ERR DB index is out of range$/),
    });
    const redis = new Redis(server.url);
    await redis.config('SET', 'requirepass', 'secret');
    redis.disconnect();
    const locked = {
      code: 'queue_unavailable',
      message: expect.stringMatching(/wants a name and password.*redis:\/\/user:password@/),
    };
    await expect(open(server.url)).rejects.toMatchObject(locked);
    await expect(open(server.url.replace('//', '//:wrong@'))).rejects.toMatchObject(locked);
  });
});
