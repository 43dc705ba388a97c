import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Sample, SampleOptions } from '@kvsift/eval';
import type { TextTokenizer } from '@kvsift/eval-text';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { heatMapOf } from './heat-map.js';
import { gridOf, NEEDLE_PRESETS, SANDWICH } from './presets.js';
import { scoreNeedle } from './score.js';
import { type NeedleOptions, needleInHaystack } from './suite.js';

const characters: TextTokenizer = {
  encode: (text) => Array.from(text, (c) => c.codePointAt(0) ?? 0),
  decode: (ids) => Array.from(ids, (id) => String.fromCodePoint(id)).join(''),
};

let essays: string;
beforeAll(async () => {
  essays = await mkdtemp(join(tmpdir(), 'kvsift-needle-'));
  await writeFile(join(essays, 'b.txt'), 'Second essay.');
  await writeFile(join(essays, 'a.txt'), 'First essay. ');
});
afterAll(() => rm(essays, { recursive: true }));

async function read(options: Partial<NeedleOptions>, wanted: SampleOptions = {}): Promise<Sample[]> {
  const samples = [];
  for await (const sample of needleInHaystack({ essays, ...options }).samples({ tokenizer: characters, ...wanted }))
    samples.push(sample);
  return samples;
}

describe('grid', () => {
  it('is the published one by default', () => {
    expect(gridOf(0, 100, 10)).toEqual([0, 11, 22, 33, 44, 56, 67, 78, 89, 100]);
    expect(NEEDLE_PRESETS.l2compress.lengths.slice(0, 4)).toEqual([1000, 4256, 7513, 10769]);
    expect(NEEDLE_PRESETS.l2compress.lengths.at(-1)).toBe(40077);
    expect(NEEDLE_PRESETS['kvcache-factory'].lengths.at(-1)).toBe(8000);
  });

  it('gives one prompt per length and depth, essays in the order of their names', async () => {
    const samples = await read({ lengths: [400, 500], depths: [0, 100] });
    expect(samples.map(({ id }) => id)).toEqual(['400-0', '400-100', '500-0', '500-100']);
    expect(samples[1]?.context).toMatch(
      /^<\|im_start\|> This is a very long story book: <book> First essay\. Second essay\.First/,
    );
    expect(samples[1]?.context.endsWith(SANDWICH.text)).toBe(true);
    expect(samples[1]).toMatchObject({
      question: ' </book>.\n Based on the content of the book, Question: The best thing to do in San Francisco is: \n',
      answerPrefix: 'Answer:',
      maxNewTokens: 30,
      stop: ['\n'],
      meta: { length: 400, depth: 100 },
    });
  });

  it('begins every trial with another essay', async () => {
    const samples = await read({ lengths: [400], depths: [0, 100], trials: 2 });
    expect(samples.map(({ id }) => id)).toEqual(['400-0', '400-100', '400-0-1', '400-100-1']);
    expect(samples[3]?.context).toMatch(/<book> Second essay\.First essay\. Second/);
    expect(samples[3]?.meta).toEqual({ length: 400, depth: 100 });
    await expect(read({ lengths: [400], trials: 3 })).rejects.toThrow('expected at most 2 trials, one for each essay, got 3');
  });

  it('follows the preset and one’s own settings', async () => {
    const needles = [SANDWICH, { text: 'Two is two.', answer: 'two' }];
    const [sample] = await read(
      { preset: 'l2compress', lengths: [600], needles, question: 'What?', maxNewTokens: 7 },
      { limit: 1 },
    );
    expect(sample).toMatchObject({ task: 'multi_needle', maxNewTokens: 7, stop: [], expected: needles });
    expect(sample?.question).toContain('Question: What?');
  });

  it('needs essays and a tokenizer', async () => {
    await expect(read({ essays: '/nowhere' })).rejects.toMatchObject({ code: 'file_not_found' });
    await expect(needleInHaystack({ essays }).samples()[Symbol.asyncIterator]().next()).rejects.toMatchObject({
      code: 'config_invalid',
    });
    expect(() => needleInHaystack({ essays, needles: [] })).toThrow('at least one needle');
  });
});

describe('scores', () => {
  it('take "day." with its period, unless fixed', () => {
    const almost = SANDWICH.answer.replace('.', '');
    expect(scoreNeedle(SANDWICH.answer, SANDWICH, 'overlap')).toBe(1);
    expect(scoreNeedle(almost, SANDWICH, 'overlap')).toBe(10 / 11);
    expect(scoreNeedle(almost, SANDWICH, 'fixed')).toBe(1);
    expect(scoreNeedle(SANDWICH.answer, SANDWICH, 'rouge1')).toBeCloseTo(0.727, 3);
  });

  it('average over needles, and keep failures', () => {
    const suite = needleInHaystack({ essays });
    const expected = [{ ...SANDWICH }, { text: 'Two is two.', answer: 'two' }];
    expect(suite.score({ task: 'multi_needle', expected }, 'two')).toBe(0.5);
    expect(suite.score({ task: 'multi_needle', expected }, '', 'kvpress')).toMatchObject({ error: 'ValueError' });
  });
});

it('heatMapOf arranges means by length and depth', () => {
  const result = (length: number, depth: number, score: number) => ({
    task: 't',
    prediction: '',
    score,
    meta: { length, depth },
  });
  const failed = { task: 't', prediction: '', score: { error: 'ValueError', message: '' }, meta: { length: 20, depth: 50 } };
  expect(heatMapOf([result(20, 0, 1), result(10, 50, 0.5), result(10, 50, 1), failed, { score: 1 }])).toEqual({
    lengths: [10, 20],
    depths: [0, 50],
    values: [
      [null, 1],
      [0.75, null],
    ],
  });
});
