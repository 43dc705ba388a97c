import { spawnSync } from 'node:child_process';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { takeLock } from './lock.js';

let folder = '';
let path = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kvsift-lock-'));
  path = join(folder, 'lock');
});
afterEach(() => rm(folder, { recursive: true, force: true }));

it('lets one in at a time, and the next one when it is released', async () => {
  const release = await takeLock(path);
  await expect(takeLock(path)).rejects.toMatchObject({ code: 'run_mismatch', details: { pid: process.pid } });
  await release();
  await (await takeLock(path))();
  expect(await readdir(folder)).toEqual([]);
});

it('takes over from a process that has died', async () => {
  const { pid } = spawnSync(process.execPath, ['-e', '']);
  await writeFile(path, JSON.stringify({ pid, host: hostname(), started: '1' }));
  await (await takeLock(path))();
});

it('takes over where another process has the number of the dead one', async () => {
  await writeFile(path, JSON.stringify({ pid: process.pid, host: hostname(), started: 'another time' }));
  await (await takeLock(path))();
});

it('takes over a lock that was never finished', async () => {
  await writeFile(path, '{"pid":');
  await (await takeLock(path))();
});

it('leaves locks of other machines alone', async () => {
  await writeFile(path, JSON.stringify({ pid: 1, host: 'elsewhere', started: '' }));
  await expect(takeLock(path)).rejects.toThrow('process 1 on elsewhere');
});

it('lets exactly one of many take a stale lock', async () => {
  await writeFile(path, JSON.stringify({ pid: process.pid, host: hostname(), started: 'another time' }));
  const outcomes = await Promise.allSettled(Array.from({ length: 20 }, () => takeLock(path)));
  expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
});
