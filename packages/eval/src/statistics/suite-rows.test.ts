import { expect, it } from 'vitest';
import type { Manifest } from '../run/manifest.js';
import type { Result } from '../store/result.js';
import type { ScoredSample, Suite } from '../suite.js';
import { suiteRows } from './suite-rows.js';

const manifest = { suite: { name: 's', profile: 'strict' } } as Manifest;
const result = (policy: string, task: string, score: number | null): Result => ({
  ...{ manifest: 'm', model: 'demo', policy, label: policy, budget: '20%', suite: 's', task, sample: `${score}` },
  ...{ score, prediction: 'p', expected: '', meta: { length: 9 }, prompt: { start: '', end: '', characters: 0 } },
  ...(score === null && { error: { code: 'out_of_memory', message: 'no room' } }),
  ...{ contextTokens: 1, generatedTokens: 1, decodedTokens: 0, cacheBytes: 1 },
  ...{ prefillSeconds: 1, decodeSeconds: 0, finishReason: 'eos' },
});

it('gives each suite the results of a cell, failures too, and takes its numbers as they are', () => {
  const asked: [readonly ScoredSample[], string | undefined][] = [];
  const suite = {
    aggregate: (results: readonly ScoredSample[], profile?: string) => {
      asked.push([results, profile]);
      return [{ task: 't', metrics: { '0-4k': 12.5, '8k+': null } }];
    },
  } as unknown as Suite;
  const results = [result('snapkv', 't', 1), result('snapkv', 't', null), result('tova', 't', 0)];
  const names = { model: 'demo', suite: 's', task: 't', budget: '20%', profile: 'strict' };
  expect(suiteRows(results, new Map([['m', manifest]]), () => suite)).toEqual([
    { ...names, policy: 'snapkv', label: 'snapkv', metrics: { '0-4k': 12.5, '8k+': null } },
    { ...names, policy: 'tova', label: 'tova', metrics: { '0-4k': 12.5, '8k+': null } },
  ]);
  expect(asked[0]).toEqual([
    [
      { task: 't', prediction: 'p', score: 1, meta: { length: 9 } },
      { task: 't', prediction: 'p', score: { error: 'out_of_memory', message: 'no room' }, meta: { length: 9 } },
    ],
    'strict',
  ]);
});

it('has no rows where the suite has nothing to say or is not known', () => {
  const known = new Map([['m', manifest]]);
  expect(suiteRows([result('snapkv', 't', 1)], known, () => undefined)).toEqual([]);
  expect(suiteRows([result('snapkv', 't', 1)], known, () => ({}) as Suite)).toEqual([]);
  expect(suiteRows([result('snapkv', 't', 1)], new Map(), () => ({}) as Suite)).toEqual([]);
});
