import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { allPolicies } from '@kvsift/policies';
import { KvsiftError } from '@kvsift/tensor';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { AnswerRequest, EvalEngine } from '../engine/contract.js';
import { readRun } from '../store/run-folder.js';
import type { Suite } from '../suite.js';
import { parseRunConfig } from './config.js';
import type { RunEvent } from './events.js';
import { type RunEnvironment, runEvaluation } from './run.js';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kvsift-stored-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** Repeats the number of a text, at once. */
const engine = (upset: (context: string) => boolean = () => false): EvalEngine => ({
  facts: { model: 'echo' },
  contextLength: 1000,
  tokenizer: { encode: (text) => new Int32Array(text.length), decode: () => '' },
  async *answer({ context, retention }: AnswerRequest) {
    if (upset(context)) throw new KvsiftError('out_of_memory', `no room for ${context}`);
    const numbers = { contextTokens: 10, generatedTokens: 1, decodedTokens: 0, cacheBytes: 10 };
    const kept = { kvHeads: 1, tokens: ['a', 'b'], layers: [[1, 0]] };
    yield {
      ...{
        text: /\d+/.exec(context)?.[0] ?? '',
        prefillSeconds: 1,
        firstTokenSeconds: 0,
        decodeSeconds: 0,
        finishReason: 'eos',
        ...numbers,
      },
      ...(retention && { retention: kept }),
    };
  },
  async [Symbol.asyncDispose]() {},
});

/** Numbers that depend on the seed under names that do not; `made` counts how often a task was generated. */
const numbers = (made = { times: 0 }, name = 'numbers'): Suite => ({
  name,
  tasks: ['t', 'u'],
  profiles: ['strict', 'lenient'],
  async *samples({ tasks = [], limit = 3, seed = 0, onMalformed } = {}) {
    made.times += 1;
    if (tasks.includes('u')) onMalformed?.(new KvsiftError('data_malformed', 'rows.jsonl, line 7: not JSON'));
    for (let index = 0; index < limit; index++) {
      const number = `${100 * seed + index}`;
      const limits = { maxNewTokens: 4, stop: [], chat: 'never' } as const;
      yield { id: `${index}`, task: tasks[0] ?? '', context: number, question: '', expected: number, ...limits };
    }
  },
  score: ({ expected }, prediction) => Number(prediction === expected),
});

const config = (more: object = {}) =>
  parseRunConfig(
    { models: ['echo'], policies: ['random'], budgets: ['50%'], suites: [{ suite: 'numbers', tasks: ['t'] }], seed: 1, ...more },
    'test',
  );

const environment = (more: Partial<RunEnvironment> = {}): RunEnvironment => ({
  registry: allPolicies(),
  suite: () => numbers(),
  openEngine: async () => engine(),
  code: { version: '0', folder: tmpdir() },
  ...more,
});

describe('names', () => {
  it.each([
    ['two models of one file name', { models: ['a/m.gguf', 'b/m.gguf'] }, /a\/m\.gguf and b\/m\.gguf .*"m\.gguf".*name/],
    ['one model twice', { models: ['echo', 'echo'] }, /"echo"/],
    [
      'one suite twice',
      {
        suites: [
          { suite: 'numbers', tasks: ['t'] },
          { suite: 'numbers', tasks: ['u'], profile: 'lenient' },
        ],
      },
      /"numbers" is there twice.*one entry/,
    ],
  ])('refuses %s before anything runs', async (_, more, message) => {
    const opened: string[] = [];
    const openEngine = async ({ path }: { path: string }) => {
      opened.push(path);
      return engine();
    };
    const running = runEvaluation(config(more), join(folder, 'run'), environment({ openEngine }));
    await expect(running).rejects.toMatchObject({ code: 'config_invalid', message: expect.stringMatching(message) });
    expect(opened).toEqual([]);
    expect(await readdir(folder)).toEqual([]);
  });

  it('runs two models that were given names, and a suite that names itself by its options', async () => {
    const models = [
      { path: 'a/m', name: 'one' },
      { path: 'b/m', name: 'two' },
    ];
    const suites = [10, 20].map((length) => ({ suite: 'numbers', tasks: ['t'], options: { length } }));
    const suite: RunEnvironment['suite'] = ({ options }) => numbers(undefined, `numbers-${options?.length}`);
    expect(await runEvaluation(config({ models, suites }), folder, environment({ suite }))).toMatchObject({
      done: 24,
      total: 24,
    });
    expect(await runEvaluation(config({ models, suites }), folder, environment({ suite }))).toMatchObject({ added: 0, done: 24 });
  });
});

describe('a stored run', () => {
  it('is continued by another seed with prompts of its own, where it is told to', async () => {
    await runEvaluation(config(), folder, environment());
    const other = config({ policies: ['snapkv'], seed: 2 });
    await expect(runEvaluation(other, folder, environment())).rejects.toMatchObject({ code: 'run_mismatch' });
    // Both the full cache and the new policy: nothing of seed 1 answers a prompt of seed 2.
    expect(await runEvaluation(other, folder, environment({ mix: true }))).toMatchObject({ added: 6, done: 6, total: 6 });
  });

  it('lends its results to the same prompts under other code, but not to other rules of scoring', async () => {
    await runEvaluation(config(), folder, environment());
    const newer = environment({ mix: true, code: { version: '1', folder: tmpdir() } });
    expect(await runEvaluation(config({ policies: ['snapkv'] }), folder, newer)).toMatchObject({ added: 3, done: 6, total: 6 });
    // More samples are another manifest, and the first three of them are the same.
    const longer = config({ suites: [{ suite: 'numbers', tasks: ['t'], limit: 5 }] });
    expect(await runEvaluation(longer, folder, newer)).toMatchObject({ added: 4, done: 10, total: 10 });
    const lenient = config({ suites: [{ suite: 'numbers', tasks: ['t'], profile: 'lenient' }] });
    expect(await runEvaluation(lenient, folder, newer)).toMatchObject({ added: 6, done: 6 });
  });

  it('is refused by name of the file where its data have gone since', async () => {
    await runEvaluation(config(), folder, environment());
    const gone: Suite = {
      ...numbers(),
      samples() {
        throw new KvsiftError('file_not_found', '/data/t.jsonl does not exist');
      },
    };
    await expect(runEvaluation(config(), folder, environment({ suite: () => gone }))).rejects.toMatchObject({
      code: 'run_mismatch',
      message: expect.stringContaining('no longer usable: /data/t.jsonl does not exist'),
    });
  });

  it('does not care where the data lie, as long as they are the same', async () => {
    const at = (essays: string) => config({ suites: [{ suite: 'numbers', tasks: ['t'], options: { essays, length: 3 } }] });
    const known = environment({ dataOptions: ['essays'] });
    await runEvaluation(at('ess'), folder, known);
    expect(await runEvaluation(at('/elsewhere/ess'), folder, known)).toMatchObject({ added: 0, done: 6 });
    const [manifest] = (await readRun(folder)).manifests.values();
    expect(manifest?.suite).toMatchObject({ options: { length: 3 }, data: { essays: '/elsewhere/ess' } });
    await expect(runEvaluation(at('ess'), folder, environment())).rejects.toThrow(/suite\.options\.essays/);
  });

  it('makes each sample once, and none where all is stored', async () => {
    const made = { times: 0 };
    await runEvaluation(config(), folder, environment({ suite: () => numbers(made) }));
    expect(made.times).toBe(1);
    await runEvaluation(config(), folder, environment({ suite: () => numbers(made) }));
    expect(made.times).toBe(2);
  });

  it('holds what was left out, and is the same run whatever that was', async () => {
    const suites = [{ suite: 'numbers', tasks: ['u'] }];
    await runEvaluation(config({ suites }), folder, environment());
    const [manifest] = (await readRun(folder)).manifests.values();
    expect(manifest?.leftOut).toEqual([{ task: 'u', message: 'rows.jsonl, line 7: not JSON' }]);
    const strict = config({ suites, onError: 'stop' });
    expect(await runEvaluation(strict, folder, environment())).toMatchObject({ added: 0, done: 6 });
  });

  it('says how many of its results failed, and tries them again when it is told to', async () => {
    const events: RunEvent[] = [];
    const upset = environment({ openEngine: async () => engine((context) => context !== '100') });
    expect(await runEvaluation(config(), folder, upset)).toMatchObject({ done: 6, failed: 4 });
    const told = environment({ onEvent: (event) => events.push(event) });
    expect(await runEvaluation(config(), folder, told)).toMatchObject({ added: 0, failed: 4 });
    expect(events.find(({ type }) => type === 'planned')).toMatchObject({ done: 6, failed: 4 });
    // Only what this run has itself: another limit leaves the last sample as it is.
    const mixed = { retryFailed: true, mix: true };
    const shorter = config({ suites: [{ suite: 'numbers', tasks: ['t'], limit: 2 }] });
    expect(await runEvaluation(shorter, folder, environment(mixed))).toMatchObject({ added: 2, failed: 2 });
    expect(await runEvaluation(config(), folder, environment(mixed))).toMatchObject({ added: 2, failed: 0, done: 6 });
    const { results } = await readRun(folder);
    expect(results.map(({ score }) => score)).toEqual([1, 1, 1, 1, 1, 1]);
  });

  it('that lost its manifest is named, not compared with nothing', async () => {
    await runEvaluation(config(), folder, environment());
    const [name = ''] = await readdir(join(folder, 'manifests'));
    await rm(join(folder, 'manifests', name));
    await expect(runEvaluation(config({ seed: 2 }), folder, environment())).rejects.toMatchObject({
      code: 'data_malformed',
      message: expect.stringMatching(new RegExp(`manifests/${name} is missing.*put it back`)),
    });
  });

  it('names a file of kept tokens that is none', async () => {
    await runEvaluation(config(), folder, environment());
    expect((await readRun(folder)).retentions[0]?.retention.layers).toEqual([[1, 0]]);
    const [name = ''] = await readdir(join(folder, 'retention'));
    const path = join(folder, 'retention', name);
    const whole = JSON.parse(await readFile(path, 'utf8')) as object;
    for (const [value, where] of [
      [[], 'the whole'],
      [{ ...whole, retention: { kvHeads: 1, tokens: [] } }, 'retention.layers'],
    ] as const) {
      await writeFile(path, JSON.stringify(value));
      await expect(readRun(folder)).rejects.toMatchObject({
        code: 'data_malformed',
        message: expect.stringContaining(`${path}: expected the kept tokens of a sample, ${where}`),
      });
    }
  });
});
