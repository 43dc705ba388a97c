import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, rename, rm, stat } from 'node:fs/promises';
import { KvsiftError } from '@kvsift/tensor';
import { request } from './request.js';
import type { HubSettings } from './settings.js';

/** A file's contents as the hub describes them. */
export interface BlobFacts {
  readonly url: string;
  /** The file, for errors. */
  readonly what: string;
  /** SHA-256 (large files) or git's SHA-1 of the blob; of any other kind it is not checked. */
  readonly etag: string;
  readonly size: number;
  /** What the caller knows it to be, checked as well. */
  readonly sha256?: string;
}

/** Bytes there, of all. */
export type DownloadProgress = (done: number, total: number) => void;

/**
 * Downloads to `path`, going on where an interrupted download stopped, and checks size and hash before the file gets its name.
 * @throws KvsiftError `file_unreadable` where the disk takes no more; `download_failed` where the connection ends too often or what came is not what was promised, those of `request`
 */
export async function downloadBlob(
  facts: BlobFacts,
  path: string,
  settings: HubSettings,
  onProgress: DownloadProgress,
): Promise<void> {
  const draft = `${path}.incomplete`;
  for (let attempt = 1; (await sizeOf(draft)) !== facts.size; attempt++) {
    const before = await sizeOf(draft);
    try {
      await fetchRest(facts, draft, settings, onProgress);
    } catch (error) {
      if (error instanceof KvsiftError) throw error;
      // The disk, not the network: whose errors come wrapped by fetch.
      if (error instanceof Error && 'syscall' in error)
        throw new KvsiftError(
          'file_unreadable',
          `${draft} cannot be written: ${error.message}`,
          { path: draft },
          { cause: error },
        );
      if (settings.signal?.aborted)
        throw new KvsiftError('aborted', `${facts.what}: the download was stopped`, {}, { cause: error });
      const moved = (await sizeOf(draft)) > before;
      if (!moved && attempt >= settings.attempts) {
        throw new KvsiftError(
          'download_failed',
          `${facts.what}: the connection broke off; start again to go on`,
          {},
          { cause: error },
        );
      }
    }
    if ((await sizeOf(draft)) > facts.size) await rm(draft);
    if (attempt >= 100) throw new KvsiftError('download_failed', `${facts.what}: the connection breaks off again and again`);
  }
  const problem = await damage(facts, draft);
  if (problem !== undefined) {
    await rm(draft);
    throw new KvsiftError('download_failed', `${facts.what}: ${problem}; what came was removed, start again`);
  }
  await rename(draft, path);
}

async function fetchRest(
  { url, what, size }: BlobFacts,
  draft: string,
  settings: HubSettings,
  onProgress: DownloadProgress,
): Promise<void> {
  const have = await sizeOf(draft);
  const response = await request(url, settings, { what, ...(have > 0 && { headers: { range: `bytes=${have}-` } }) });
  // A server that ignores the range sends everything.
  const file = await open(draft, response.status === 206 ? 'a' : 'w');
  try {
    let done = response.status === 206 ? have : 0;
    onProgress(done, size);
    for await (const part of response.body ?? []) {
      await file.writeFile(part);
      done += part.length;
      onProgress(done, size);
    }
    await file.sync();
  } finally {
    await file.close();
  }
}

/** What is wrong with a whole file; undefined where it is what the hub says. */
async function damage({ etag, size, sha256 }: BlobFacts, path: string): Promise<string | undefined> {
  const git = /^[0-9a-f]{40}$/.test(etag);
  const checks: [name: string, hash: Hash, expected: string][] = [
    ...(git ? [['SHA-1', createHash('sha1').update(`blob ${size}\0`), etag] as [string, Hash, string]] : []),
    ...[...(/^[0-9a-f]{64}$/.test(etag) ? [etag] : []), ...(sha256 === undefined ? [] : [sha256.toLowerCase()])].map(
      (expected): [string, Hash, string] => ['SHA-256', createHash('sha256'), expected],
    ),
  ];
  for await (const part of createReadStream(path)) for (const [, hash] of checks) hash.update(part as Buffer);
  for (const [name, hash, expected] of checks) {
    const got = hash.digest('hex');
    if (got !== expected) return `its ${name} is ${got}, expected ${expected}`;
  }
  return undefined;
}

async function sizeOf(path: string): Promise<number> {
  return (await stat(path).catch(() => undefined))?.size ?? 0;
}
