import { createHash, randomUUID } from 'node:crypto';
import { link, readFile, unlink, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { setTimeout } from 'node:timers/promises';
import { KvsiftError } from '@kvsift/tensor';

interface Owner {
  readonly pid: number;
  readonly host: string;
  /** Tells a process from a later one with the same number: its start time, where the system gives one. */
  readonly started: string;
  /** Tells one taking of the lock from the next. */
  readonly id: string;
}

/**
 * Takes a lock file that one living process can hold. A lock whose process has died is taken over at once: no waiting after a kill -9.
 * @returns releases the lock
 * @throws KvsiftError `run_mismatch` where a living process holds it, or one on another machine
 */
export async function takeLock(path: string): Promise<() => Promise<void>> {
  const own: Owner = { pid: process.pid, host: hostname(), started: await startOf(process.pid), id: randomUUID() };
  const draft = `${path}.${own.id}`;
  await writeFile(draft, JSON.stringify(own));
  try {
    for (;;) {
      if (await linked(draft, path)) return () => unlink(path);
      const text = await readFile(path, 'utf8').catch(() => undefined);
      if (text === undefined) continue;
      const owner = parseOwner(text);
      if (owner !== undefined && (await isAlive(owner))) throw held(path, owner);
      await removeStale(path, text);
    }
  } finally {
    await unlink(draft);
  }
}

/** Makes a second name for a file; false where the name is taken. Atomic, unlike writing with an exclusive flag. */
async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/**
 * Removes a dead lock with this text. Who does so holds a lock of its own, named after the text: nobody else may remove that one, so what is read
 * under it is what is removed, and a new lock in its place is safe.
 */
async function removeStale(path: string, text: string): Promise<void> {
  const name = createHash('sha256').update(text).digest('hex').slice(0, 16);
  let release: () => Promise<void>;
  try {
    release = await takeLock(`${path}.${name}`);
  } catch (error) {
    if (!(error instanceof KvsiftError)) throw error;
    await setTimeout(1); // Another process is removing it.
    return;
  }
  try {
    if ((await readFile(path, 'utf8').catch(() => undefined)) === text) await unlink(path);
  } finally {
    await release();
  }
}

function parseOwner(text: string): Owner | undefined {
  try {
    return JSON.parse(text) as Owner;
  } catch {
    return undefined;
  }
}

async function isAlive({ pid, host, started }: Owner): Promise<boolean> {
  if (host !== hostname()) return true;
  try {
    process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
  return (await startOf(pid)) === started;
}

/** Start time of a process in clock ticks since boot; empty where /proc does not tell. */
async function startOf(pid: number): Promise<string> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  // The name in parentheses may hold spaces; the start time is field 22.
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
}

function held(path: string, { pid, host }: Owner): KvsiftError {
  const where = host === hostname() ? `process ${pid}` : `process ${pid} on ${host}; if it is gone, delete the lock`;
  return new KvsiftError('run_mismatch', `${path}: this run is being written by ${where}`, { path, pid, host });
}
