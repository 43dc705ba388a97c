import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { CaseFailure } from './tally.js';
import { verifyScores } from './verify-scores.js';

const shared = fileURLToPath(new URL('../../../../shared/data', import.meta.url));

async function verify(folder: string) {
  const failures: CaseFailure[] = [];
  const skips: string[] = [];
  const counts = await verifyScores(
    folder,
    (failure) => failures.push(failure),
    (line) => skips.push(line),
  );
  return { ...counts, failures, skips };
}

describe.skipIf(!existsSync(shared))('reference scores (skipped without ../shared/data)', () => {
  it('are all reproduced', async () => {
    const { passed, failures } = await verify(shared);
    expect(failures).toEqual([]);
    expect(passed).toBeGreaterThan(18_000);
  });
});

describe('a folder of one’s own', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'kvsift-verify-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  const write = (name: string, ...rows: unknown[]) =>
    writeFile(join(folder, name), rows.map((row) => JSON.stringify(row)).join('\n'));
  const right = { task: 'passkey', id: 1, model: 'm', prediction: 'It is 12.', ground_truth: ['12'], score: 1 };

  it('passes right rows and reports wrong ones by line', async () => {
    await write('infinitebench-scores.jsonl', right, { ...right, score: 0 });
    const { passed, failed, skipped, failures } = await verify(folder);
    expect([passed, failed, skipped]).toEqual([1, 1, 0]);
    expect(failures).toEqual([{ case: 'infinitebench-scores.jsonl:2', message: 'score (passkey): expected 0, got 1' }]);
  });

  it('fails rows with unknown columns or tasks, or without score', async () => {
    const { score: _, ...unscored } = right;
    await write('infinitebench-edge-scores.jsonl', { ...right, score_other: 1 }, { ...right, task: 'x' }, unscored);
    const { failures } = await verify(folder);
    expect(failures.map(({ message }) => message)).toEqual([
      expect.stringContaining('unknown column score_other'),
      'unknown task "x"',
      'expected a column "score"',
    ]);
  });

  it('fails files that no check knows, and goes on after a broken line', async () => {
    await write('other-scores.jsonl', right);
    await writeFile(join(folder, 'infinitebench-scores.jsonl'), `${JSON.stringify(right)}\n{"task":`);
    await write('jieba-cases.jsonl', { text: '厦门大学', tokens: ['厦门大学'] }, { text: '厦门大学', tokens: ['厦门', '大学'] });
    const { passed, failures } = await verify(folder);
    expect(passed).toBe(2);
    expect(failures.map((failure) => failure.case)).toEqual([
      'infinitebench-scores.jsonl',
      'jieba-cases.jsonl:2',
      'other-scores.jsonl',
    ]);
    expect(failures[0]?.message).toContain('infinitebench-scores.jsonl:2');
  });

  it('expects errors where the row names one, under the column’s own rules', async () => {
    const row = {
      task: 'math_find',
      id: 1,
      model: 'm',
      prediction: '84.5',
      ground_truth: 84,
      score: 'ERROR ValueError',
      score_nacl: 1,
    };
    await write('infinitebench-scores.jsonl', row, { ...row, score: 'ERROR TypeError' }, { ...row, score_nacl: 0 });
    const { passed, failures } = await verify(folder);
    expect(passed).toBe(1);
    expect(failures.map(({ message }) => message)).toEqual([
      'score (math_find): expected "ERROR TypeError", got "ERROR ValueError"',
      'score_nacl (math_find): expected 0, got 1',
    ]);
  });

  it('tells 84.0 from 84', async () => {
    const line = '{"task":"math_find","id":1,"model":"m","prediction":"84.0","ground_truth":84.0,"score":1.0}';
    await writeFile(join(folder, 'infinitebench-scores.jsonl'), line);
    expect(await verify(folder)).toMatchObject({ passed: 1, failed: 0 });
  });

  it('skips means whose rows are not there', async () => {
    await writeFile(
      join(folder, 'infinitebench-aggregates.json'),
      JSON.stringify([{ task: 'passkey', model: 'm', n: 2, mean: 0.5 }]),
    );
    expect(await verify(folder)).toMatchObject({
      passed: 0,
      failed: 0,
      skipped: 1,
      skips: ['infinitebench-aggregates.json: means over rows that the folder does not hold, or holds cut (1)'],
    });
    await write('infinitebench-scores.jsonl', right, { ...right, prediction: '', score: 0 });
    expect(await verify(folder)).toMatchObject({ passed: 3, failed: 0, skipped: 0, skips: [] });
  });

  it('looks into subfolders and leaves other kinds of files alone', async () => {
    await mkdir(join(folder, 'ruler-samples'));
    await write('ruler-samples/generated-4096-vt.jsonl', { input: 'no', outputs: [] });
    await writeFile(join(folder, 'README.md'), 'text');
    const { failures } = await verify(folder);
    expect(failures).toEqual([expect.objectContaining({ case: 'ruler-samples/generated-4096-vt.jsonl:1' })]);
  });

  it('passes nothing in an empty folder and says when there is none', async () => {
    expect(await verify(folder)).toMatchObject({ passed: 0, failed: 0, skipped: 0 });
    await expect(verifyScores(join(folder, 'none'), () => {})).rejects.toMatchObject({ code: 'file_not_found' });
  });
});
