import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Sample, SampleOptions } from '@kvsift/eval';
import { splitWords, type TextTokenizer } from '@kvsift/eval-text';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RulerOptions, ruler } from './suite.js';
import { MODEL_TEMPLATES } from './task-facts.js';

const words: TextTokenizer = { encode: (text) => splitWords(text).map((_, i) => i), decode: () => '' };

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kvsift-ruler-'));
  await writeFile(join(folder, 'a.txt'), 'It rains. '.repeat(40));
  const paragraph = (name: string) => ({
    context: `About ${name}.`,
    qas: [
      { question: `Who is ${name}?`, answers: [{ text: name }, { text: `Mr ${name}` }] },
      { question: 'Nobody knows?', is_impossible: true, answers: [] },
    ],
  });
  const data = ['Ann', 'Bob', 'Cid'].map((name) => ({ paragraphs: [paragraph(name), paragraph(`${name}by`)] }));
  await writeFile(join(folder, 'squad.json'), JSON.stringify({ data }));
  const hotpot = ['Ann', 'Bob'].map((name) => ({ question: `${name}?`, answer: name, context: [[name, ['One. ', 'Two.']]] }));
  await writeFile(join(folder, 'hotpot.json'), JSON.stringify(hotpot));
  await writeFile(join(folder, 'empty.json'), '{"data":[]}');
});
afterAll(() => rm(folder, { recursive: true }));

async function read(options: Partial<RulerOptions>, wanted: SampleOptions): Promise<Sample[]> {
  const samples = [];
  for await (const sample of ruler({ length: 1024, ...options }).samples({ tokenizer: words, limit: 2, ...wanted }))
    samples.push(sample);
  return samples;
}

describe('samples', () => {
  it('do not depend on those before them, but on the seed', async () => {
    const [, second] = await read({}, { tasks: ['niah_multikey_2'] });
    expect((await read({}, { tasks: ['cwe', 'niah_multikey_2'] }))[3]).toEqual(second);
    expect((await read({}, { tasks: ['niah_multikey_2'], seed: 7 }))[1]?.expected).not.toEqual(second?.expected);
  });

  it('stand in the same order in every sample, as the reference’s do, unless drawn anew', async () => {
    const positions = async (freshShuffles: boolean) => {
      const samples = await read({ freshShuffles, length: 4096 }, { tasks: ['cwe'] });
      return samples.map(({ context, expected }) => {
        const first = (expected as string[])[0] ?? '';
        const list = context.slice(context.lastIndexOf('\n') + 1).split(/\d+\. /);
        return list.flatMap((word, i) => (word.trim() === first ? [i] : [])).join(' ');
      });
    };
    const [a, b] = await positions(false);
    expect(a).toBe(b);
    const [c, d] = await positions(true);
    expect(c).not.toBe(d);
  });

  it('split the prompt after the context, inside a model’s template, whose wording the reference changes too', async () => {
    const [sample] = await read({ modelTemplate: MODEL_TEMPLATES['lwm-chat'] }, { tasks: ['niah_single_1'] });
    expect(sample?.context).toMatch(/^You is a helpful assistant\. USER: A special magic number is hidden/);
    expect(sample?.context).toMatch(/Here we go\. There and back again\.$/);
    expect(sample?.question).toMatch(/^\nWhat is the special magic number for .+ mentioned in the provided text\? ASSISTANT: $/);
    expect(sample).toMatchObject({ chat: 'never', maxNewTokens: 128 });
  });

  it('of question answering hold the right documents and fill up with others', async () => {
    const squad = await read({ squad: join(folder, 'squad.json') }, { tasks: ['qa_1'], limit: 10 });
    expect(squad).toHaveLength(6);
    expect(squad[0]?.expected).toEqual(['Ann', 'Mr Ann']);
    for (const { context, expected } of squad) {
      expect(context).toContain(`About ${(expected as string[])[0]}.`);
      expect(context.match(/Document \d+:/g)).toHaveLength(6);
    }
    const [hotpot] = await read({ hotpot: join(folder, 'hotpot.json') }, { tasks: ['qa_2'] });
    expect(hotpot?.context).toContain('Ann\nOne. Two.');
    expect(hotpot?.question).toContain('Question: Ann?');
  });
});

describe('what is missing is told before any sample', () => {
  it.each<readonly [Partial<RulerOptions>, SampleOptions, string]>([
    [{}, { tasks: ['niah_single_2'] }, 'config_invalid'],
    [{}, { tasks: ['niah_single_1', 'qa_1'] }, 'config_invalid'],
    [{ essays: '/nowhere' }, { tasks: ['niah_single_2'] }, 'file_not_found'],
    [{ squad: '/nowhere' }, { tasks: ['qa_1'] }, 'file_not_found'],
    [{}, { tasks: ['other'] }, 'config_invalid'],
    [{ length: 100 }, { tasks: ['niah_single_1'] }, 'invalid_argument'],
    [{ length: 100 }, { tasks: ['fwe'] }, 'invalid_argument'],
  ])('%j %j', async (options, wanted, code) => {
    await expect(read(options, wanted)).rejects.toMatchObject({ code });
  });

  it('a tokenizer too, and questions in a file', async () => {
    await expect(
      ruler({ length: 1024 })
        .samples({ tasks: ['vt'] })
        [Symbol.asyncIterator]()
        .next(),
    ).rejects.toMatchObject({ code: 'config_invalid' });
    await expect(read({ squad: join(folder, 'empty.json') }, { tasks: ['qa_1'] })).rejects.toMatchObject({
      code: 'data_malformed',
    });
    await expect(read({ hotpot: join(folder, 'squad.json') }, { tasks: ['qa_2'] })).rejects.toMatchObject({
      code: 'data_malformed',
    });
  });
});

it('summaries count empty predictions', () => {
  const result = (prediction: string, score: number) => ({ task: 'vt', prediction, score });
  expect(ruler({ length: 1024 }).aggregate?.([result(' \n', 0), result('x', 1), result('y', 1)])).toEqual([
    { task: 'vt', metrics: { score: 66.67, empty: 1, n: 3 } },
  ]);
});
