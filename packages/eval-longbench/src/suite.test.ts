import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Sample, SampleOptions, Suite } from '@kvsift/eval';
import type { TextTokenizer } from '@kvsift/eval-text';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { longBench, longBenchE } from './suite.js';

const samples = fileURLToPath(new URL('../../../../shared/data/longbench-samples', import.meta.url));
const characters: TextTokenizer = {
  encode: (text) => Array.from(text, (c) => c.codePointAt(0) ?? 0),
  decode: (ids) => String.fromCodePoint(...ids),
};

async function read(suite: Suite, options: SampleOptions): Promise<Sample[]> {
  const result = [];
  for await (const sample of suite.samples(options)) result.push(sample);
  return result;
}

describe.skipIf(!existsSync(samples))('real rows (skipped without ../shared/data)', () => {
  it('become prompts', async () => {
    const rows = await read(longBench({ folder: samples }), { tasks: ['multi_news', 'multifieldqa_zh', 'passage_retrieval_zh'] });
    expect(new Set(rows.map(({ task }) => task)).size).toBe(3);
    expect(new Set(rows.map(({ id, task }) => `${task} ${id}`)).size).toBe(rows.length);
    for (const { task, context, question, answerPrefix, expected, chat } of rows) {
      expect(context.length).toBeGreaterThan(200);
      expect(chat).toBe('allowed');
      expect(expected).toMatchObject({ answers: expect.arrayContaining([expect.any(String)]) });
      expect(answerPrefix).toBe({ multi_news: 'Summary:', multifieldqa_zh: '回答：' }[task] ?? '答案是：');
      expect(question).not.toBe('');
    }
  });

  it('are cut to the limit, begin-of-text included', async () => {
    const [row] = await read(longBench({ folder: samples }), {
      tasks: ['multifieldqa_zh'],
      limit: 1,
      tokenizer: characters,
      maxTokens: 501,
    });
    const text = `${row?.context}${row?.question}${row?.answerPrefix}`;
    // 250 and 250 ids, of which one is begin-of-text.
    expect(Array.from(text)).toHaveLength(499);
    expect(row?.answerPrefix).toBe('回答：');
  });
});

describe('a folder of one’s own', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'kvsift-longbench-'));
  });
  afterEach(() => rm(folder, { recursive: true }));
  const row = { input: 'I', context: 'C', answers: ['a'], length: 5000, all_classes: null, _id: 'x' };
  const write = (name: string, ...rows: object[]) => writeFile(join(folder, name), rows.map((r) => JSON.stringify(r)).join('\n'));

  it('wraps no few-shot prompt and stops samsum at a line', async () => {
    await write('samsum.jsonl', row);
    expect(await read(longBench({ folder }), { tasks: ['samsum'] })).toEqual([
      expect.objectContaining({
        chat: 'never',
        stop: ['\n'],
        minNewTokens: 1,
        maxNewTokens: 128,
        id: 'x',
        meta: { length: 5000 },
      }),
    ]);
  });

  it('reads other files in LongBench-E, which lacks tasks', async () => {
    await write('trec_e.jsonl', { ...row, all_classes: ['a', 'b'] });
    const [sample] = await read(longBenchE({ folder }), { tasks: ['trec'] });
    expect(sample?.expected).toEqual({ answers: ['a'], allClasses: ['a', 'b'] });
    await expect(read(longBenchE({ folder }), { tasks: ['musique'] })).rejects.toMatchObject({ code: 'config_invalid' });
    await expect(read(longBench({ folder }), { tasks: ['trec'] })).rejects.toMatchObject({ code: 'file_not_found' });
  });

  it.each([
    [[{ ...row, answers: 'a' }], ':1: expected a list of strings in "answers", got "a"'],
    [[row, row], ':2: expected an id that no row before has in "_id", got "x"'],
    [[{ ...row, length: '5' }], ':1: expected a number in "length"'],
  ])('names what is wrong', async (rows, message) => {
    await write('qasper.jsonl', ...rows);
    await expect(read(longBench({ folder }), { tasks: ['qasper'] })).rejects.toThrow(`qasper.jsonl${message}`);
  });
});

describe('summaries', () => {
  const result = (score: number, length: number) => ({ task: 'qasper', prediction: '', score, meta: { length } });
  it('are means, or means per bucket', () => {
    const results = [result(1, 100), result(0, 100), result(1, 9000)];
    expect(longBench({ folder: '' }).aggregate?.(results)).toEqual([{ task: 'qasper', metrics: { score: 66.67, n: 3 } }]);
    expect(longBenchE({ folder: '' }).aggregate?.(results)).toEqual([
      { task: 'qasper', metrics: { '0-4k': 50, '4-8k': null, '8k+': 100, n: 3 } },
    ]);
  });

  it('have no score after a failure', () => {
    const suite = longBench({ folder: '' });
    const failed = suite.score({ task: 'passage_retrieval_en', expected: { answers: ['7'], allClasses: null } }, '7');
    expect(failed).toMatchObject({ error: 'IndexError' });
    expect(suite.aggregate?.([{ task: 'passage_retrieval_en', prediction: '', score: failed }])).toEqual([
      { task: 'passage_retrieval_en', metrics: { score: null, n: 1, failures: 1 } },
    ]);
  });
});
