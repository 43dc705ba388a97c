import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createReferenceBackend } from '@kvsift/backend-reference';
import { demoModelPath, factDocument } from '@kvsift/demo-model';
import { allPolicies } from '@kvsift/policies';
import { KvsiftError } from '@kvsift/tensor';
import { afterEach, beforeEach, describe, expect, it, type Mock, vi } from 'vitest';
import { openLanguageModel } from '../engine/language-model.js';
import type { Result } from '../store/result.js';
import { readRun } from '../store/run-folder.js';
import type { Sample, Suite } from '../suite.js';
import { parseRunConfig } from './config.js';
import type { RunEvent } from './events.js';
import { type RunEnvironment, runEvaluation } from './run.js';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kvsift-run-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** Two short texts, and what a test adds to them. */
const factsSuite = (change: (sample: Sample) => Sample = (sample) => sample): Suite => ({
  name: 'facts',
  tasks: ['facts'],
  profiles: ['exact'],
  async *samples({ limit = 2 } = {}) {
    for (let seed = 1; seed <= limit; seed++) {
      const { context, question, answer } = factDocument({ tokens: 90, facts: 1, digits: 3, seed });
      yield change({
        ...{ id: `${seed}`, task: 'facts', context, question, expected: answer },
        ...{ maxNewTokens: 4, stop: ['.'], chat: 'never' },
      });
    }
  },
  score: ({ expected }, prediction) => Number(prediction.trim() === expected),
});

const config = parseRunConfig(
  {
    ...{ models: ['demo'], policies: ['snapkv(window=8)', 'random'], budgets: ['50%'], suites: ['facts'] },
    ...{ backend: 'reference', retention: 1 },
  },
  'test',
);

const environment = (suite = factsSuite(), more: Partial<RunEnvironment> = {}): RunEnvironment => ({
  registry: allPolicies(),
  suite: () => suite,
  openEngine: () => openLanguageModel(demoModelPath(), { backend: createReferenceBackend() }),
  code: { version: '0', folder: tmpdir() },
  ...more,
});

/** What must be the same in two runs: everything but times. */
const lasting = ({ prefillSeconds: _prefill, firstTokenSeconds: _first, decodeSeconds: _decode, ...rest }: Result) => rest;
const sorted = (results: readonly Result[]) => results.map((result) => JSON.stringify(lasting(result))).sort();

describe('runEvaluation', () => {
  it('stores every sample under every cell, the full cache too, with what was measured', async () => {
    const outcome = await runEvaluation(config, folder, environment());
    expect(outcome).toMatchObject({ added: 6, done: 6, total: 6, interrupted: false });
    const { results, manifests, retentions } = await readRun(folder);
    const { total = 0, loading = 0, model = 0 } = outcome.seconds ?? {};
    const measured = results.map(({ prefillSeconds, firstTokenSeconds = 0, decodeSeconds }) => {
      expect(firstTokenSeconds).toBeGreaterThan(0);
      return prefillSeconds + firstTokenSeconds + decodeSeconds;
    });
    expect(model).toBeCloseTo(
      measured.reduce((sum, seconds) => sum + seconds, 0),
      6,
    );
    expect(loading).toBeGreaterThan(0);
    expect(total).toBeGreaterThan(loading + model);
    expect(new Set(results.map(({ label, budget }) => `${label} ${budget}`))).toEqual(
      new Set(['full 100%', 'snapkv(window=8) 50%', 'random 50%']),
    );
    const [full, snapkv] = results;
    expect(full).toMatchObject({ score: 1, policy: 'full', finishReason: 'stop' });
    expect(snapkv?.contextTokens).toBe(full?.contextTokens);
    const kept = Math.floor((full?.contextTokens ?? 0) / 2);
    expect((snapkv?.cacheBytes ?? 0) / (full?.cacheBytes ?? 1)).toBeCloseTo(kept / (full?.contextTokens ?? 1), 10);
    expect(manifests.get(full?.manifest ?? '')).toMatchObject({
      suite: { stops: ['.'], profile: 'exact' },
      question: 'aware',
      seed: 42,
      // What the cache holds, also where nobody chose it.
      model: { kvType: 'f32' },
    });
    const shown = retentions.find(({ key }) => key.policy.startsWith('snapkv'))?.retention;
    expect(shown?.tokens).toHaveLength(full?.contextTokens ?? 0);
    for (const layer of shown?.layers ?? []) expect(layer.reduce((sum, heads) => sum + heads, 0)).toBe(2 * kept);
  });

  it('ends with the same results whether it was interrupted or not, and makes none twice', async () => {
    await runEvaluation(config, folder, environment());
    const whole = (await readRun(folder)).results;
    const other = join(folder, 'interrupted');
    for (let call = 0; call < 3; call++) {
      const finish = new AbortController();
      const onEvent = ({ type }: RunEvent) => type === 'result' && finish.abort();
      const outcome = await runEvaluation(config, other, environment(factsSuite(), { finish: finish.signal, onEvent }));
      expect(outcome).toMatchObject({ added: 1, done: call + 1, interrupted: true });
    }
    await writeFile(join(other, 'results.jsonl'), '{"manifest":"torn', { flag: 'a' });
    expect(await runEvaluation(config, other, environment())).toMatchObject({ added: 3, done: 6, interrupted: false });
    expect(sorted((await readRun(other)).results)).toEqual(sorted(whole));
    expect(await runEvaluation(config, other, environment())).toMatchObject({ added: 0, done: 6 });
  });

  it('tells how far it came also where the sample in flight was stopped', async () => {
    const stop = new AbortController();
    const stopping = { finish: stop.signal, signal: stop.signal };
    const onEvent = ({ type }: RunEvent) => type === 'result' && setTimeout(() => stop.abort());
    const outcome = await runEvaluation(config, folder, environment(factsSuite(), { ...stopping, onEvent }));
    expect(outcome).toMatchObject({ interrupted: true, total: 6 });
    expect((await readRun(folder)).results).toHaveLength(outcome.done);
  });

  it('takes budgets that are spelt differently for one', async () => {
    const spelt = { ...config, policies: ['random'], budgets: ['50%', '50.0%'] };
    expect(await runEvaluation(spelt, folder, environment())).toMatchObject({ total: 4 });
  });

  it('runs a policy that ignores budgets once, and names none', async () => {
    const own = { ...config, policies: ['threshold(knorm, threshold=-4)', 'snapkv(window=8)'], budgets: ['50%', '20%'] };
    await runEvaluation(own, folder, environment());
    const cells = (await readRun(folder)).results.map(({ label, budget }) => `${label} ${budget}`);
    expect([...new Set(cells)].sort()).toEqual([
      ...['full 100%', 'snapkv(window=8) 20%', 'snapkv(window=8) 50%', 'threshold(knorm, threshold=-4) own'],
    ]);
  });

  it('refuses to go on under other circumstances, names them, and mixes when told to', async () => {
    const small = { ...config, policies: ['random'] };
    await runEvaluation(small, folder, environment());
    const changed = environment(factsSuite((sample) => ({ ...sample, stop: ['!'] })));
    await expect(runEvaluation(small, folder, changed)).rejects.toMatchObject({
      code: 'run_mismatch',
      message: expect.stringMatching(/suite\.samples: .*suite\.stops: \["\."\] and \["!"\]/),
    });
    expect(await runEvaluation(small, folder, { ...changed, mix: true })).toMatchObject({ added: 0 });
  });

  it('refuses results of another version of a policy from outside, names both, and mixes when told to', async () => {
    const known = allPolicies();
    const from = (version: string) =>
      environment(factsSuite(), { registry: { ...known, versions: new Map([['random', version]]) } });
    const nested = { ...config, policies: ['knorm', 'adakv(random)'] };
    await runEvaluation(nested, folder, from('1.0.0 aaaaaaaaaaaa'));
    const { results } = await readRun(folder);
    const versions = results.map(({ label, outside }) => `${label} ${JSON.stringify(outside)}`);
    expect(new Set(versions)).toEqual(
      new Set(['full undefined', 'knorm undefined', 'adakv(random) {"random":"1.0.0 aaaaaaaaaaaa"}']),
    );
    expect(await runEvaluation(nested, folder, from('1.0.0 aaaaaaaaaaaa'))).toMatchObject({ added: 0 });
    const newer = from('1.0.0 bbbbbbbbbbbb');
    for (const changed of [newer, environment()])
      await expect(runEvaluation(nested, folder, changed)).rejects.toMatchObject({
        code: 'run_mismatch',
        message: expect.stringMatching(
          /results of adakv\(random\).*\(random: "1.0.0 aaaaaaaaaaaa" and ("1.0.0 bbbbbbbbbbbb"|nothing)\)/,
        ),
      });
    // Where the policy takes no part its results are left alone.
    expect(await runEvaluation({ ...config, policies: ['knorm'] }, folder, newer)).toMatchObject({ added: 0 });
    expect(await runEvaluation(nested, folder, { ...newer, mix: true })).toMatchObject({ added: 0 });
  });

  it('takes up policies that were added to a run', async () => {
    await runEvaluation({ ...config, policies: ['random'] }, folder, environment());
    expect(await runEvaluation(config, folder, environment())).toMatchObject({ added: 2, done: 6 });
  });

  it('shares one reading of a prompt among policies where it is told to, with the results of one at a time', async () => {
    const cells = {
      ...config,
      policies: ['snapkv(window=8)', 'random', 'adakv(snapkv(window=8))', 'kvzip'],
      budgets: ['50%', '20%'],
    };
    await runEvaluation(cells, folder, environment());
    const alone = (await readRun(folder)).results;
    const other = join(folder, 'shared');
    const outcome = await runEvaluation({ ...cells, sharePrefill: true }, other, environment());
    const { results, manifests } = await readRun(other);
    const named = (all: readonly Result[]) => sorted(all.map((result) => ({ ...result, manifest: '' })));
    expect(named(results)).toEqual(named(alone));
    expect([...manifests.values()]).toEqual([expect.objectContaining({ prefill: 'shared' })]);
    const times = (all: readonly Result[]) => new Set(all.map(({ prefillSeconds }) => prefillSeconds)).size;
    // For each of two samples: caches with rows of one length for all heads, and those with rows of their own.
    expect([times(alone), times(results)]).toEqual([18, 4]);
    expect(outcome.seconds?.model).toBeLessThan(outcome.seconds?.total ?? 0);
    await expect(runEvaluation(cells, other, environment())).rejects.toThrow(/prefill: "shared" and nothing/);
  });

  it('reads one at a time where one of the policies that would share cannot read, and where memory is short', async () => {
    const cells = { ...config, policies: ['snapkv(window=32)', 'random'], budgets: ['10'], sharePrefill: true };
    expect(await runEvaluation(cells, folder, environment())).toMatchObject({ done: 6, failed: 2 });
    const failed = (await readRun(folder)).results.filter(({ error }) => error !== undefined);
    expect(failed.map(({ label, error }) => [label, error?.code])).toEqual(
      Array.from({ length: 2 }, () => ['snapkv(window=32)', 'budget_invalid']),
    );
    const told: number[] = [];
    const shared: Mock[] = [];
    const openEngine = async () => {
      const engine = await openLanguageModel(demoModelPath(), { backend: createReferenceBackend() });
      const answerAll = vi.fn<NonNullable<typeof engine.answerAll>>(() => {
        throw new Error('there is no room for all at once');
      });
      shared.push(answerAll);
      return { ...engine, answerAll, memoryBytes: Math.max(...told) };
    };
    const onEvent = (event: RunEvent) => event.type === 'memory' && told.push(event.needed);
    const many = { ...cells, policies: ['random'], budgets: ['90%'] };
    await runEvaluation(many, join(folder, 'known'), environment(factsSuite(), { onEvent }));
    expect(await runEvaluation(many, join(folder, 'short'), environment(factsSuite(), { openEngine }))).toMatchObject({
      done: 4,
    });
    expect(shared.map(({ mock }) => mock.calls.length)).toEqual([0]);
  });

  it('sets a sample aside in which a policy from outside throws whatever it throws', async () => {
    let calls = 0;
    const openEngine = async () => {
      const engine = await openLanguageModel(demoModelPath(), { backend: createReferenceBackend() });
      const answer: typeof engine.answer = (request) => {
        calls += 1;
        if (calls === 1) throw new TypeError('undefined is not iterable');
        return engine.answer(request);
      };
      return { ...engine, answer };
    };
    const one = { ...config, policies: ['random'] };
    expect(await runEvaluation(one, folder, environment(factsSuite(), { openEngine }))).toMatchObject({ done: 4, failed: 1 });
    const [failed] = (await readRun(folder)).results.filter(({ error }) => error !== undefined);
    expect(failed?.error).toEqual({ code: 'unexpected', message: 'TypeError: undefined is not iterable' });
    calls = 0;
    const stopping = runEvaluation({ ...one, onError: 'stop' }, join(folder, 'stop'), environment(factsSuite(), { openEngine }));
    await expect(stopping).rejects.toThrow('undefined is not iterable');
  });

  it('shares one reading of a context among its questions, each answered as if alone', async () => {
    const { context, facts } = factDocument({ tokens: 110, facts: 2, digits: 3, seed: 5 });
    const ask = (keys: readonly number[]): Suite => ({
      ...factsSuite(),
      async *samples() {
        for (const index of keys) {
          const { key, value } = facts[index] ?? { key: '', value: '' };
          const question = ` Question: What is the code for ${key}? Answer: The code for ${key} is`;
          yield { id: key, task: 'facts', context, question, expected: value, maxNewTokens: 4, stop: ['.'], chat: 'never' };
        }
      },
    });
    const agnostic = { ...config, policies: ['snapkv(window=8)'], question: 'agnostic' as const, retention: 0 };
    await runEvaluation(agnostic, folder, environment(ask([0, 1])));
    const together = (await readRun(folder)).results;
    const alone = [];
    for (const index of [0, 1]) {
      const own = join(folder, `${index}`);
      await runEvaluation(agnostic, own, environment(ask([index])));
      alone.push(...(await readRun(own)).results);
    }
    expect(together).toHaveLength(4);
    const named = (results: readonly Result[]) => sorted(results.map((result) => ({ ...result, manifest: '' })));
    expect(named(together)).toEqual(named(alone));
    // The first question alone has its context's own sequence number; both share it when asked together.
    expect(new Set(together.map(({ prefillSeconds }) => prefillSeconds)).size).toBe(2);
  });
});

describe('trouble', () => {
  const long = factsSuite((sample) => (sample.id === '1' ? { ...sample, context: sample.context.repeat(500) } : sample));

  it('stores a failed sample as such and goes on', async () => {
    const outcome = await runEvaluation({ ...config, policies: ['random'] }, folder, environment(long));
    expect(outcome).toMatchObject({ added: 4, failed: 2 });
    const { results } = await readRun(folder);
    expect(results.filter(({ sample }) => sample === '1')).toEqual([
      expect.objectContaining({ score: null, error: { code: 'context_length_exceeded', message: expect.any(String) } }),
      expect.objectContaining({ score: null }),
    ]);
    expect(results.filter(({ score }) => score !== null)).toHaveLength(2);
  });

  it('or stops, as configured, with what was stored still there', async () => {
    const last = factsSuite((sample) => (sample.id === '2' ? { ...sample, context: sample.context.repeat(500) } : sample));
    const stopping = { ...config, policies: ['random'], onError: 'stop' as const };
    await expect(runEvaluation(stopping, folder, environment(last))).rejects.toMatchObject({ code: 'context_length_exceeded' });
    expect((await readRun(folder)).results).toHaveLength(2);
  });

  it('leaves out a task whose data cannot be read, before any weights are loaded', async () => {
    const broken: Suite = {
      ...factsSuite(),
      tasks: ['broken', 'facts'],
      samples(options = {}) {
        if (options.tasks?.includes('broken')) throw new KvsiftError('data_malformed', 'rows.jsonl, line 3: not JSON');
        return factsSuite().samples(options);
      },
    };
    const events: RunEvent[] = [];
    const outcome = await runEvaluation(
      { ...config, policies: ['random'] },
      folder,
      environment(broken, { onEvent: (event) => events.push(event) }),
    );
    const failure = { suite: 'facts', task: 'broken', message: 'rows.jsonl, line 3: not JSON' };
    expect(outcome).toMatchObject({ done: 4, failures: [failure] });
    expect(events.find(({ type }) => type === 'planned')).toMatchObject({ total: 4, failures: [failure] });
  });

  it('estimates the memory of the longest sample, and refuses what cannot fit', async () => {
    const events: RunEvent[] = [];
    const one = { ...config, policies: ['random'] };
    await runEvaluation(one, folder, environment(long, { onEvent: (event) => events.push(event) }));
    const told = events.find(({ type }) => type === 'memory');
    // No longer than the model can read.
    expect(told).toMatchObject({ suite: 'facts', tokens: 16384, needed: expect.any(Number) });
    const small = (bytes: number) => async () => {
      const engine = await openLanguageModel(demoModelPath(), { backend: createReferenceBackend() });
      return { ...engine, memoryBytes: bytes };
    };
    const needed = told?.type === 'memory' ? told.needed : 0;
    const strict = { ...one, onError: 'stop' as const };
    const tight = environment(long, { openEngine: small(needed - 1) });
    await expect(runEvaluation(strict, join(folder, 'tight'), tight)).rejects.toMatchObject({
      code: 'out_of_memory',
      details: { sample: '1', tokens: 16384, neededBytes: needed, availableBytes: needed - 1 },
    });
    const lacking = environment(long, {
      openEngine: async () => {
        const engine = await small(needed - 1)();
        const answer: typeof engine.answer = (request) => {
          if (request.context.length > 10_000) throw new KvsiftError('out_of_memory', 'there is not enough memory');
          return engine.answer(request);
        };
        return { ...engine, answer };
      },
    });
    expect(await runEvaluation(one, join(folder, 'on'), lacking)).toMatchObject({ done: 4, failed: 2 });
  });

  it('refuses two samples with one id', async () => {
    const twice = environment(factsSuite((sample) => ({ ...sample, id: 'same' })));
    await expect(runEvaluation({ ...config, onError: 'stop' }, folder, twice)).rejects.toThrow('two samples have the id "same"');
  });

  it('refuses a second writer, and wrong policies and budgets before it makes anything', async () => {
    let second: Promise<unknown> | undefined;
    const onEvent = ({ type }: RunEvent) => {
      if (type === 'planned') second = runEvaluation(config, folder, environment()).catch((error: unknown) => error);
    };
    const openEngine = async () => {
      const engine = await openLanguageModel(demoModelPath(), { backend: createReferenceBackend() });
      const answer: typeof engine.answer = async function* (request) {
        // The first run goes on when the second one has had its answer.
        await second;
        yield* engine.answer(request);
      };
      return { ...engine, answer };
    };
    await runEvaluation({ ...config, policies: ['random'] }, folder, environment(factsSuite(), { onEvent, openEngine }));
    expect(await second).toMatchObject({ code: 'run_mismatch', message: expect.stringContaining(`process ${process.pid}`) });
    const untouched = join(folder, 'untouched');
    await expect(runEvaluation({ ...config, policies: ['snap'] }, untouched, environment())).rejects.toMatchObject({
      code: 'policy_unknown',
    });
    await expect(runEvaluation({ ...config, budgets: ['0'] }, untouched, environment())).rejects.toMatchObject({
      code: 'budget_invalid',
    });
    await expect(readFile(join(untouched, 'results.jsonl'))).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
