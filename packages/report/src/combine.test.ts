import type { Manifest, Result, StoredRun } from '@kvsift/eval';
import { expect, it } from 'vitest';
import { combineRuns } from './combine.js';

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

it('counts nothing twice', () => {
  const runs = [run('a', 1, [result('a', '1')]), run('a', 1, [result('a', '1')])];
  expect(() => combineRuns(runs)).toThrow(expect.objectContaining({ code: 'data_malformed' }));
});
