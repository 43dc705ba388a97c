import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Sample, SampleOptions } from '@kvsift/eval';
import type { TextTokenizer } from '@kvsift/eval-text';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type InfiniteBenchOptions, infiniteBench } from './suite.js';

const characters: TextTokenizer = {
  encode: (text) => Array.from(text, (c) => c.codePointAt(0) ?? 0),
  decode: (ids) => String.fromCodePoint(...ids),
};

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kvsift-infinitebench-'));
});
afterEach(() => rm(folder, { recursive: true }));

async function samplesOf(
  task: string,
  rows: readonly (object | string)[],
  options: SampleOptions = {},
  more: Omit<InfiniteBenchOptions, 'folder'> = {},
): Promise<Sample[]> {
  const lines = rows.map((row) =>
    typeof row === 'string' ? row : JSON.stringify({ id: 0, context: 'C', input: 'I', options: [], ...row }),
  );
  await writeFile(join(folder, `${task}.jsonl`), lines.join('\n'));
  const samples = [];
  for await (const sample of infiniteBench({ folder, ...more }).samples({ tasks: [task], ...options })) samples.push(sample);
  return samples;
}
const textOf = ({ context, question, answerPrefix = '' }: Sample) => context + question + answerPrefix;

describe('rows', () => {
  it('take every form of label', async () => {
    const passkey = await samplesOf('passkey', [{ answer: '123' }, { answer: ['123'] }, { answer: [123] }]);
    expect(passkey.map(({ expected }) => expected)).toEqual(['123', ['123'], [123]]);
    const find = await samplesOf('math_find', [
      '{"context":"[1]","input":"The largest number of","answer":45.0}',
      '{"context":"[1]","input":"The largest number of","answer":[45]}',
      '{"context":"[1]","input":"The largest number of","answer":["45.0"]}',
    ]);
    expect(find.map(({ expected }) => expected)).toEqual([{ float: 45 }, [45], [{ float: 45 }]]);
    const options = ['w', 'x', 'y', 'z'];
    const choice = await samplesOf('longbook_choice_eng', [
      { options, answer: ['x'] },
      { options, answer: 'x' },
      { options, answer: ['x', 'B'] },
      { options, answer: 'B' },
    ]);
    expect(choice.map(({ expected }) => expected)).toEqual(Array.from({ length: 4 }, () => ['x', 'B']));
  });

  it('rename content and number samples by position', async () => {
    const samples = await samplesOf('longbook_qa_eng', ['{"content":"book","input":"q","answer":["a"],"id":9}', { answer: 'b' }]);
    expect(samples.map(({ id }) => id)).toEqual(['0', '1']);
    expect(samples[0]?.context).toContain('book');
  });

  it.each<readonly [string, object, string]>([
    ['passkey', { answer: { a: 1 } }, 'expected a text or a list of texts in "answer"'],
    ['passkey', {}, 'expected a value in "answer", got nothing'],
    ['math_calc', { answer: ['x'] }, 'expected a number or a list of numbers in "answer"'],
    ['code_debug', { options: ['a'], answer: 'a' }, 'expected four options in "options"'],
    ['code_debug', { options: ['a', 'b', 'c', 'd'], answer: 'e' }, 'expected one of the four options in "answer"'],
    ['code_run', { answer: 3 }, 'expected a call such as func_1(2) in "input"'],
    ['passkey', { context: 5, answer: '1' }, 'expected a string in "context", got 5'],
  ])('of %s that are wrong are named: %j', async (task, row, message) => {
    await expect(samplesOf(task, [row])).rejects.toMatchObject({
      code: 'data_malformed',
      message: expect.stringContaining(message),
    });
  });

  it('that are wrong are left out where the run is told to go on; the rest keep their numbers', async () => {
    const errors: string[] = [];
    const onMalformed = (error: Error) => errors.push(error.message);
    const samples = await samplesOf('passkey', [{ answer: '1' }, '{', { answer: null }, { answer: '2' }], { onMalformed });
    expect(samples.map(({ id }) => id)).toEqual(['0', '3']);
    expect(errors).toEqual([expect.stringContaining('passkey.jsonl:2:'), expect.stringContaining('passkey.jsonl:3:')]);
  });

  it('that are missing are told before the first sample', async () => {
    await expect(
      infiniteBench({ folder })
        .samples({ tasks: ['passkey'] })
        [Symbol.asyncIterator]()
        .next(),
    ).rejects.toMatchObject({
      code: 'file_not_found',
    });
    await expect(
      infiniteBench({ folder })
        .samples({ tasks: ['nothing'] })
        [Symbol.asyncIterator]()
        .next(),
    ).rejects.toMatchObject({
      code: 'config_invalid',
    });
  });
});

describe('prompts', () => {
  it('insert values verbatim', async () => {
    const [sample] = await samplesOf('longbook_qa_eng', [{ context: '{question} $&', input: '{context}', answer: 'a' }]);
    expect(sample && textOf(sample)).toBe(
      'Read the book and answer the question. Be very concise in your answer.\n\n{question} $&\n\nQuestion: {context}\nAnswer:',
    );
  });

  it('name the extreme and the call', async () => {
    const [find] = await samplesOf('math_find', [
      { context: '[1]', input: 'Find it. The second largest number of the list is', answer: 1 },
    ]);
    expect(find?.context).toBe('What is the second largest number in the following list?\n\n[1]');
    const [run] = await samplesOf('code_run', [{ context: 'def', input: 'Value of func_12(-3)?', answer: 1 }]);
    expect(run?.context).toBe('There is a function called func_12 in the following Python code.\n\ndef');
    expect(run?.question).toBe('\n\nPlease compute the exact value of func_12(-3). ');
    expect(run).toMatchObject({ answerPrefix: 'The value of func_12(-3) is', maxNewTokens: 5, chat: 'never' });
  });

  it('have the words and the cut of kvpress where asked, and 20 tokens more', async () => {
    const kvpress = { templates: 'kvpress' } as const;
    const options = ['w', 'x', 'y', 'z'];
    const [choice] = await samplesOf('longbook_choice_eng', [{ options, answer: 'x' }], {}, kvpress);
    expect(choice).toMatchObject({ answerPrefix: 'The letter of the correct answer is', maxNewTokens: 60, chat: 'allowed' });
    expect(choice?.context).toBe('Read the book and answer the question.\n\nC\n\n');
    expect(choice?.question).toMatch(/^I\n\nOnly one of .* say anything else\.\nA\. w\nB\. x\nC\. y\nD\. z$/);
    const ending = 'The value associated with the specified key is:';
    const [retrieval] = await samplesOf('kv_retrieval', [{ input: `Key: "k" ${ending}`, answer: 'v' }], {}, kvpress);
    expect(retrieval).toMatchObject({ question: 'Key: "k" ', answerPrefix: ending.slice(0, -1) });
    const instruction = 'The largest number of the list is:';
    const input = `Find it. You should answer with only one number, no other words. ${instruction}`;
    const [find] = await samplesOf('math_find', [{ context: '[1]', input, answer: 1 }], {}, kvpress);
    expect(find?.context).toBe('What is the largest number in the following list?\n\n[1]\n\nFind it. \n\n');
    expect(find?.question).toBe(input);
    const [run] = await samplesOf('code_run', [{ input: 'Value of func_12(-3)?', answer: 1 }], {}, kvpress);
    expect(run).toMatchObject({ question: 'Value of func_12(-3)?', answerPrefix: 'The return value is:' });
    expect(run?.context).toContain('a function called func_12 in');
  });

  it('lose their middle, never question and answer line, and come to NFC where asked', async () => {
    const [sample] = await samplesOf(
      'passkey',
      [{ context: 'e\u0301'.repeat(500), answer: '1' }],
      { tokenizer: characters, maxTokens: 200 },
      { normalize: true },
    );
    expect(sample && textOf(sample)).toHaveLength(200);
    expect(sample?.question).toBe('\n\nI\n\n');
    expect(sample?.context).toContain('é');
    await expect(samplesOf('passkey', [{ answer: '1' }], { maxTokens: 5 })).rejects.toMatchObject({ code: 'config_invalid' });
  });

  it('stop at the limit', async () => {
    expect(await samplesOf('passkey', [{ answer: '1' }, { answer: '2' }], { limit: 1 })).toHaveLength(1);
  });
});

describe('results', () => {
  const suite = infiniteBench({ folder: '' });
  it('hold failures as values', () => {
    expect(suite.score({ task: 'math_find', expected: 84 }, '84.5')).toMatchObject({ error: 'ValueError' });
    expect(suite.score({ task: 'math_find', expected: 84 }, '84.5', 'nacl')).toBe(1);
    expect(() => suite.score({ task: 'math_find', expected: 84 }, '', 'other')).toThrow('expected a profile of infinitebench');
  });

  it('have a mean unless the reference would have stopped', () => {
    const result = (task: string, score: number) => ({ task, prediction: '', score });
    const failed = { task: 'math_find', prediction: '', score: { error: 'ValueError', message: '' } };
    expect(suite.aggregate?.([result('passkey', 1), result('math_find', 1), result('passkey', 0), failed])).toEqual([
      { task: 'passkey', metrics: { mean: 0.5, n: 2 } },
      { task: 'math_find', metrics: { mean: null, n: 2, failures: 1 } },
    ]);
  });
});
