import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { copyFile, mkdir, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { takeLock } from '@kvsift/eval';
import { isKvsiftError, KvsiftError } from '@kvsift/tensor';
import { type BlobFacts, type DownloadProgress, downloadBlob } from './blob.js';
import { request } from './request.js';
import { checkNames, type HubOptions, type HubRepository, type HubSettings, hubSettings } from './settings.js';

/** Which file to fetch, and how to know that it is the right one. */
export interface DownloadOptions extends HubOptions, HubRepository {
  /** File in the repository. */
  readonly path: string;
  /** SHA-256 that the file must have, whatever the hub says. */
  readonly sha256?: string;
  readonly onProgress?: DownloadProgress;
}

/**
 * One file of a repository, from the shared cache or the hub; the layout is the one that the Hugging Face tools share, so that files which they
 * fetched are found, and they find ours.
 * @returns its path in the cache
 * @throws KvsiftError `file_not_found` (no such repository, revision or file; offline: not in the cache), `download_failed` (access, network, damage), `file_unreadable` (the
 * disk takes no more), `invalid_argument`, `aborted`
 */
export async function downloadFile(options: DownloadOptions): Promise<string> {
  const settings = await hubSettings(options);
  checkNames(options, [options.path]);
  const { repo, path, type = 'dataset', revision = 'main', sha256, onProgress = () => {} } = options;
  const what = `${repo}/${path}${revision === 'main' ? '' : ` at ${revision}`}`;
  const folder = join(settings.cache, `${type}s--${repo.replace('/', '--')}`);
  const commit = /^[0-9a-f]{40}$/.test(revision)
    ? revision
    : await readFile(join(folder, 'refs', revision), 'utf8').catch(() => undefined);
  const cached = commit === undefined ? undefined : join(folder, 'snapshots', commit.trim(), path);
  // A commit never changes; what a branch points at is asked for again.
  if (cached !== undefined && (settings.offline || commit === revision) && (await isFile(cached))) {
    if (sha256 !== undefined) await checkCached(cached, sha256, what);
    return cached;
  }
  if (settings.offline) {
    throw new KvsiftError('file_not_found', `${what}: not in the cache (${folder}); fetch it once without --offline`, {
      path: folder,
    });
  }
  const prefix = type === 'dataset' ? 'datasets/' : '';
  const url = `${settings.endpoint}/${prefix}${repo}/resolve/${encodeURIComponent(revision)}/${path.split('/').map(encodeURIComponent).join('/')}`;
  const facts = await describe(url, what, settings);
  const blob = join(folder, 'blobs', facts.etag);
  const place = join(folder, 'snapshots', facts.commit, path);
  for (const parent of [join(folder, 'blobs'), dirname(place), dirname(join(folder, 'refs', revision))])
    await mkdir(parent, { recursive: true });
  const release = await lockOf(`${blob}.lock`, settings);
  try {
    if (!(await isFile(blob)))
      await downloadBlob({ ...facts, ...(sha256 !== undefined && { sha256 }) }, blob, settings, onProgress);
    else if (sha256 !== undefined) await checkCached(blob, sha256, what);
  } finally {
    await release();
  }
  await point(place, blob);
  if (facts.commit !== revision) await writeWhole(join(folder, 'refs', revision), facts.commit);
  return place;
}

/** Asks for a file's commit, hash and size without its contents. */
async function describe(url: string, what: string, settings: HubSettings): Promise<BlobFacts & { readonly commit: string }> {
  let at = url;
  let response = await request(at, settings, {
    method: 'HEAD',
    redirect: 'manual',
    headers: { 'accept-encoding': 'identity' },
    what,
  });
  // Renamed repositories answer with an address on the same host; large files with one elsewhere, whose facts are in this answer.
  for (let hops = 0; hops < 5 && response.headers.get('location')?.startsWith('/'); hops++) {
    at = new URL(response.headers.get('location') ?? '', at).href;
    response = await request(at, settings, {
      method: 'HEAD',
      redirect: 'manual',
      headers: { 'accept-encoding': 'identity' },
      what,
    });
  }
  const header = (name: string) => response.headers.get(name) ?? undefined;
  const etag = (header('x-linked-etag') ?? header('etag'))?.replace(/^W\//, '').replaceAll('"', '');
  const commit = header('x-repo-commit');
  const size = Number(header('x-linked-size') ?? header('content-length'));
  if (
    etag === undefined ||
    !/^[\w-]+$/.test(etag) ||
    commit === undefined ||
    !/^[0-9a-f]{40}$/.test(commit) ||
    !Number.isSafeInteger(size)
  ) {
    throw new KvsiftError('download_failed', `${what}: ${new URL(url).host} does not answer like a Hugging Face hub`, { url });
  }
  return { url: at, what, etag, commit, size };
}

/** Waits while another process downloads the same file. */
async function lockOf(path: string, { signal }: HubSettings): Promise<() => Promise<void>> {
  for (;;) {
    try {
      return await takeLock(path);
    } catch (error) {
      if (!isKvsiftError(error) || error.code !== 'run_mismatch') throw error;
      if (signal?.aborted) throw new KvsiftError('aborted', 'the download was stopped', {}, { cause: signal.reason });
      await setTimeout(200);
    }
  }
}

/** Gives a blob its name in a snapshot: a link, or a copy where links are not allowed. */
async function point(place: string, blob: string): Promise<void> {
  if (await isFile(place)) return;
  await rm(place, { force: true });
  await symlink(relative(dirname(place), blob), place).catch(() => copyFile(blob, place));
}

async function checkCached(path: string, sha256: string, what: string): Promise<void> {
  const hash = createHash('sha256');
  for await (const part of createReadStream(path)) hash.update(part as Buffer);
  const got = hash.digest('hex');
  if (got === sha256.toLowerCase()) return;
  throw new KvsiftError('download_failed', `${what}: its SHA-256 is ${got}, expected ${sha256}: the data have changed`, { path });
}

async function isFile(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isFile() === true;
}

async function writeWhole(path: string, text: string): Promise<void> {
  const draft = `${path}.${process.pid}.draft`;
  await writeFile(draft, text);
  await rename(draft, path);
}
