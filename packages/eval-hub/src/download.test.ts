import { createHash, randomBytes } from 'node:crypto';
import { lstat, mkdir, mkdtemp, open, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { downloadFile } from './download.js';
import { listFiles } from './list.js';
import { commit, HubServer } from './testing/hub-server.js';

const text = Buffer.from('{"id": 0, "context": "naïve 日本"}\n');
const large = randomBytes(300_000);
let hub: HubServer;
let cache: string;
const get = (path: string, more: Partial<Parameters<typeof downloadFile>[0]> = {}) =>
  downloadFile({ repo: 'owner/data', path, endpoint: hub.endpoint, cache, environment: {}, backoff: 1, ...more });

beforeEach(async () => {
  hub = await HubServer.start();
  hub.files.set('passkey.jsonl', { content: text });
  hub.files.set('folder/large file.jsonl', { content: large, large: true });
  cache = await mkdtemp(join(tmpdir(), 'kvsift-hub-'));
});
afterEach(async () => {
  await hub[Symbol.asyncDispose]();
  await rm(cache, { recursive: true });
});

describe('a file of the hub', () => {
  it('lands in the layout that the Hugging Face tools share', async () => {
    const folder = join(cache, 'datasets--owner--data');
    for (const [path, content] of [
      ['passkey.jsonl', text],
      ['folder/large file.jsonl', large],
    ] as const) {
      const place = await get(path);
      expect(place).toBe(join(folder, 'snapshots', commit, path));
      expect((await readFile(place)).equals(content)).toBe(true);
      expect((await lstat(place)).isSymbolicLink()).toBe(true);
    }
    expect(await readFile(join(folder, 'refs/main'), 'utf8')).toBe(commit);
    const sha256 = createHash('sha256').update(large).digest('hex');
    expect(await readlink(join(folder, 'snapshots', commit, 'folder/large file.jsonl'))).toBe(`../../../blobs/${sha256}`);
    expect((await readdir(join(folder, 'blobs'))).filter((name) => /incomplete|lock/.test(name))).toEqual([]);
  });

  it('is downloaded once; a commit is not even asked for again', async () => {
    await get('passkey.jsonl');
    hub.requests.length = 0;
    await get('passkey.jsonl');
    expect(hub.requests.map(({ method }) => method)).toEqual(['HEAD']);
    await get('passkey.jsonl', { revision: commit });
    expect(hub.requests).toHaveLength(1);
  });

  it('is found where another tool has put it, without a network', async () => {
    const snapshot = join(cache, 'datasets--owner--data/snapshots', commit);
    await mkdir(join(cache, 'datasets--owner--data/refs'), { recursive: true });
    await mkdir(snapshot, { recursive: true });
    await writeFile(join(cache, 'datasets--owner--data/refs/main'), commit);
    await writeFile(join(snapshot, 'kept.jsonl'), text);
    expect(await get('kept.jsonl', { offline: true })).toBe(join(snapshot, 'kept.jsonl'));
    expect(await get('kept.jsonl', { environment: { HF_HUB_OFFLINE: '1' } })).toBe(join(snapshot, 'kept.jsonl'));
    const missing = get('passkey.jsonl', { offline: true });
    await expect(missing).rejects.toMatchObject({ code: 'file_not_found', message: expect.stringContaining('not in the cache') });
    expect(hub.requests).toEqual([]);
  });

  it('goes on where the connection broke, and tells how far it is', async () => {
    hub.breaks = { times: 2, after: 100_000 };
    const seen: number[] = [];
    const place = await get('folder/large file.jsonl', { onProgress: (done, total) => seen.push(done / total) });
    expect((await readFile(place)).equals(large)).toBe(true);
    const ranges = hub.requests
      .filter(({ range }) => range !== undefined)
      .map(({ range }) => Number(/\d+/.exec(range ?? '')?.[0]));
    expect(ranges.length).toBeGreaterThanOrEqual(2);
    expect(Math.min(...ranges)).toBeGreaterThan(0);
    expect(seen.at(-1)).toBe(1);
    expect([...seen].sort((a, b) => a - b)).toEqual(seen);
  });

  it('says that the disk is full, not that the connection broke, and goes on later', async () => {
    const handle = await open(join(cache, 'any'), 'w');
    await handle.close();
    const full = Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC', syscall: 'write' });
    const write = vi.spyOn(Object.getPrototypeOf(handle) as typeof handle, 'writeFile').mockRejectedValue(full);
    await expect(get('folder/large file.jsonl')).rejects.toMatchObject({
      code: 'file_unreadable',
      message: expect.stringMatching(/incomplete cannot be written: ENOSPC/),
    });
    expect(write).toHaveBeenCalledTimes(1);
    write.mockRestore();
    expect((await readFile(await get('folder/large file.jsonl'))).equals(large)).toBe(true);
  });

  it('starts anew where the server cannot go on', async () => {
    hub.breaks = { times: 1, after: 100_000 };
    hub.ignoresRange = true;
    expect((await readFile(await get('folder/large file.jsonl'))).equals(large)).toBe(true);
  });

  it('goes on after a download that was stopped', async () => {
    const stop = new AbortController();
    hub.breaks = { times: 1, after: 200_000 };
    const stopped = get('folder/large file.jsonl', { signal: stop.signal, onProgress: (done) => done > 0 && stop.abort() });
    await expect(stopped).rejects.toMatchObject({ code: 'aborted' });
    hub.breaks.times = 0;
    expect((await readFile(await get('folder/large file.jsonl'))).equals(large)).toBe(true);
  });

  it('is fetched once by two at a time', async () => {
    const places = await Promise.all([get('folder/large file.jsonl'), get('folder/large file.jsonl')]);
    expect(new Set(places).size).toBe(1);
    expect(hub.requests.filter(({ method }) => method === 'GET').length).toBe(2); // the redirection and the contents
  });

  it('waits for a busy server', async () => {
    hub.busy = 2;
    await get('passkey.jsonl');
    hub.busy = 9;
    await expect(get('passkey.jsonl')).rejects.toMatchObject({
      code: 'download_failed',
      message: expect.stringContaining('503'),
    });
  });

  it('follows a repository that was renamed', async () => {
    expect((await readFile(await get('passkey.jsonl', { repo: 'owner/renamed' }))).equals(text)).toBe(true);
  });
});

describe('what is not as promised', () => {
  it('is damage: removed, and said so', async () => {
    hub.damaged = true;
    for (const path of ['passkey.jsonl', 'folder/large file.jsonl']) {
      const damaged = get(path);
      await expect(damaged).rejects.toMatchObject({
        code: 'download_failed',
        message: expect.stringMatching(/its SHA-(1|256) is/),
      });
    }
    expect((await readdir(join(cache, 'datasets--owner--data/blobs'))).filter((name) => !name.endsWith('.lock'))).toEqual([]);
  });

  it('is other data than the caller knows', async () => {
    const sha256 = createHash('sha256').update(text).digest('hex');
    await get('passkey.jsonl', { sha256 });
    const other = '0'.repeat(64);
    await expect(get('passkey.jsonl', { sha256: other })).rejects.toThrow('the data have changed');
    await expect(get('passkey.jsonl', { sha256: other, offline: true })).rejects.toThrow('the data have changed');
  });

  it('is named: repository, revision, file, access, server', async () => {
    await expect(get('passkey.jsonl', { repo: 'owner/other' })).rejects.toThrow('no such repository');
    await expect(get('passkey.jsonl', { revision: 'v9' })).rejects.toThrow(
      'passkey.jsonl at v9: the repository has no such revision',
    );
    await expect(get('missing.jsonl')).rejects.toMatchObject({
      code: 'file_not_found',
      message: expect.stringContaining('no such file'),
    });
    const nobody = get('passkey.jsonl', { endpoint: 'http://127.0.0.1:1', attempts: 1 });
    await expect(nobody).rejects.toMatchObject({ code: 'download_failed', message: expect.stringContaining('127.0.0.1:1') });
    for (const wrong of [
      { repo: 'data' },
      { repo: '../../etc' },
      { path: '../x' },
      { path: '/x' },
      { revision: '..' },
      { endpoint: 'ftp://x' },
    ]) {
      await expect(get('passkey.jsonl', wrong)).rejects.toMatchObject({ code: 'invalid_argument' });
    }
  });
});

describe('a token', () => {
  it('opens a private repository and never leaves for another host', async () => {
    hub.expectedToken = 'hf_secret';
    await expect(get('passkey.jsonl')).rejects.toThrow('set HF_TOKEN');
    await expect(get('passkey.jsonl', { token: 'hf_wrong' })).rejects.toThrow('the token gives no access');
    hub.requests.length = 0;
    await get('folder/large file.jsonl', { environment: { HF_TOKEN: 'hf_secret' } });
    expect(hub.requests.map(({ url, token }) => [url.startsWith('/datasets/'), token])).toEqual([
      [true, 'Bearer hf_secret'],
      [true, 'Bearer hf_secret'],
      [false, undefined],
    ]);
  });
});

describe('the list of files', () => {
  it('runs over pages', async () => {
    const files = await listFiles({ repo: 'owner/data', endpoint: hub.endpoint, environment: {} });
    expect(files).toEqual([
      { path: 'passkey.jsonl', size: text.length },
      { path: 'folder/large file.jsonl', size: large.length },
    ]);
    const offline = listFiles({ repo: 'owner/data', endpoint: hub.endpoint, environment: {}, offline: true });
    await expect(offline).rejects.toMatchObject({ code: 'file_not_found' });
  });
});
