import { type Manifest, type Result, type StoredRun, summarize } from '@kvsift/eval';
import { expect, it } from 'vitest';
import { combineRuns } from './combine.js';
import { runNotes } from './notes.js';

const manifest = (seed: number): Manifest => ({
  ...{ kvsift: '1', commit: null, node: '20', machine: {}, model: {}, question: 'aware', chat: true, seed },
  suite: { name: 's', tasks: ['t'], profile: 'p', options: {}, promptTokens: null, samples: '', stops: [] },
});
const result = (hash: string, sample: string, model = 'demo'): Result => ({
  ...{ manifest: hash, model, policy: 'full', label: 'full', budget: '100%', suite: 's', task: 't', sample },
  ...{ score: 1, prediction: '', expected: '', prompt: { start: '', end: '', characters: 0 } },
  ...{
    contextTokens: 1,
    generatedTokens: 1,
    decodedTokens: 0,
    cacheBytes: 1,
    prefillSeconds: 1,
    decodeSeconds: 0,
    finishReason: 'eos',
  },
});
const run = (hash: string, seed: number, results: readonly Result[]): StoredRun => ({
  ...{ folder: hash, results, manifests: new Map([[hash, manifest(seed)]]), retentions: [] },
});

it('puts runs of other models together', () => {
  const data = combineRuns([run('a', 1, [result('a', '1')]), run('b', 2, [result('b', '1', 'other')])]);
  expect(data.results).toHaveLength(2);
});

it('refuses to mix manifests of one model and suite, and names the field', () => {
  const runs = [run('a', 1, [result('a', '1')]), run('b', 2, [result('b', '2')])];
  expect(() => combineRuns(runs)).toThrow(/seed: 1 and 2/);
  expect(combineRuns(runs, true).results).toHaveLength(2);
});

it('counts what two runs have under one manifest once, with its score where one of them failed', () => {
  const failed = { ...result('a', '2'), score: null, error: { code: 'out_of_memory', message: '' } };
  const [one, two] = [
    [result('a', '1'), failed],
    [result('a', '1'), result('a', '2'), { ...result('a', '1'), policy: 'tova' }],
  ];
  const data = combineRuns([run('a', 1, one), run('a', 1, two)]);
  expect(data.results.map(({ policy, sample, score }) => [policy, sample, score])).toEqual([
    ['full', '1', 1],
    ['full', '2', 1],
    ['tova', '1', 1],
  ]);
});

it('keeps manifests apart that have samples in common, when told to mix them', () => {
  const runs = [run('a', 1, [result('a', '1')]), run('b', 2, [result('b', '1')])];
  const data = combineRuns(runs, true);
  expect(data.results).toHaveLength(2);
  expect(summarize(data.results).map(({ apart, n }) => [apart, n])).toEqual([
    ['a', 1],
    ['b', 1],
  ]);
});

it('wants to know under which circumstances results were made', () => {
  const orphan = { ...run('a', 1, [result('a', '1')]), manifests: new Map() };
  expect(() => combineRuns([orphan])).toThrow(
    expect.objectContaining({ code: 'data_malformed', message: expect.stringContaining('manifests/a.json is missing') }),
  );
  expect(combineRuns([orphan], true).results).toHaveLength(1);
});

it('says beside a table what failed, what was left out and how it was made', () => {
  const error = { code: 'budget_invalid', message: 'budget 5 is too small' };
  const results = [result('a', '1'), { ...result('a', '2'), score: null, error }, { ...result('a', '3'), score: null, error }];
  const leftOut = [1, 2].map((line) => ({ task: 't', message: `rows.jsonl, line ${line}: not JSON` }));
  expect(runNotes({ results, manifests: new Map([['a', { ...manifest(7), leftOut }]]) })).toEqual([
    '2 results are errors, budget_invalid, the first (s t, sample 2, full 100%): budget 5 is too small',
    'Left out of s for demo: 2 data rows or tasks, the first (t): rows.jsonl, line 1: not JSON',
    'Manifest a: demo on s, question aware, seed 7, kvsift 1.',
  ]);
});
