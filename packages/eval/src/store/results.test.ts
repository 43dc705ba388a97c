import { appendFile, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { keyOf, type Result } from './result.js';
import { ResultStore, readResults } from './results.js';

let folder = '';
let path = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kvsift-results-'));
  path = join(folder, 'results.jsonl');
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const result = (sample: string, prediction = 'yes'): Result => ({
  ...{ manifest: 'm', model: 'demo', policy: 'full', label: 'full', budget: '100%', suite: 's', task: 't', sample },
  ...{ score: 1, prediction, expected: ['yes'], prompt: { start: 'a', end: '', characters: 1 } },
  ...{ contextTokens: 5, generatedTokens: 2, decodedTokens: 1, cacheBytes: 64, prefillSeconds: 0.1, decodeSeconds: 0.1 },
  finishReason: 'eos',
});

async function store(...results: readonly Result[]): Promise<void> {
  await using opened = await ResultStore.open(path);
  for (const each of results) await opened.append(each);
}

describe('ResultStore', () => {
  it('reads back what was stored, whatever the text', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.string({ unit: 'binary' }), { maxLength: 5 }), async (predictions) => {
        await rm(path, { force: true });
        const results = predictions.map((prediction, index) => result(`${index}`, prediction));
        await store(...results);
        expect((await readResults(path)).results).toEqual(results);
      }),
      { numRuns: 25 },
    );
  });

  it('keeps lone surrogates in one line', async () => {
    await store(result('a', '\ud800\n'));
    expect((await readResults(path)).results[0]?.prediction).toBe('\ud800\n');
  });

  it('repairs a line torn at any byte and loses nothing else', async () => {
    await store(result('a'), result('b', 'naïve 文'));
    const whole = await readFile(path);
    const first = whole.indexOf(10) + 1;
    for (let length = first; length < whole.length; length += 7) {
      await writeFile(path, whole.subarray(0, length));
      await using opened = await ResultStore.open(path);
      expect(opened.results.map(({ sample }) => sample)).toEqual(['a']);
      expect(opened.repairedBytes).toBe(length - first);
      await opened.append(result('b'));
      expect((await readResults(path)).results).toHaveLength(2);
    }
  });

  it('knows what it has, across openings', async () => {
    await store(result('a'));
    await using opened = await ResultStore.open(path);
    expect(opened.has(result('a'))).toBe(true);
    expect(opened.has(result('b'))).toBe(false);
    await expect(opened.append(result('a'))).rejects.toMatchObject({ code: 'data_malformed' });
  });

  it('hands a line over before the next sample starts, and tells of a disk that fails', async () => {
    await using opened = await ResultStore.open(path);
    const file = await open(path);
    const datasync = vi.spyOn(Object.getPrototypeOf(file) as typeof file, 'datasync');
    await file.close();
    try {
      let synced = () => {};
      const slow = new Promise<void>((resolve) => {
        synced = resolve;
      });
      datasync.mockImplementationOnce(() => slow);
      await opened.append(result('a'));
      expect((await readResults(path)).results).toHaveLength(1);
      // Two lines at a time are not on their way to the disk.
      const second = opened.append(result('b'));
      await new Promise((resolve) => setTimeout(resolve, 20));
      expect((await readResults(path)).results).toHaveLength(1);
      synced();
      await second;
      await opened.settle();
      expect(datasync).toHaveBeenCalledTimes(2);
      datasync.mockRejectedValueOnce(new Error('EIO: i/o error'));
      await opened.append(result('c'));
      await expect(opened.settle()).rejects.toThrow('EIO');
      await expect(opened.append(result('d'))).rejects.toThrow('EIO');
    } finally {
      datasync.mockRestore();
    }
  });

  it.each([
    ['not JSON\n', 'line 2: expected a JSON object'],
    ['{"manifest":"m"}\n', 'line 2: model'],
    [`${JSON.stringify(result('a'))}\n`, 'line 2: the same result as line 1'],
    [`${JSON.stringify({ ...result('b'), score: 'high' })}\n`, 'line 2: score'],
  ])('names file and line of %j', async (line, message) => {
    await store(result('a'));
    await appendFile(path, line);
    await expect(readResults(path)).rejects.toThrow(`${path}, ${message}`);
  });

  it('takes a missing and an empty file as no results', async () => {
    expect(await readResults(path)).toEqual({ results: [], tornBytes: 0 });
    await writeFile(path, '');
    expect(await readResults(path)).toEqual({ results: [], tornBytes: 0 });
  });
});

it('gives different keys to different names, however they are cut', () => {
  expect(keyOf({ ...result('b'), task: 'a' })).not.toBe(keyOf({ ...result(''), task: 'ab' }));
  expect(keyOf({ ...result('"],["'), task: '' })).not.toBe(keyOf({ ...result(''), task: '"],["' }));
});
