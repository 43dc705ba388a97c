import { execFile } from 'node:child_process';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { promisify } from 'node:util';
import type { JsonValue } from '../suite.js';

/** The machine, as far as results may depend on it. */
export function describeMachine(): Record<string, JsonValue> {
  return {
    platform: process.platform,
    arch: process.arch,
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
  };
}

/** Commit of the repository that a folder belongs to, `+changes` where tracked files differ; null outside of one, or without git. */
export async function currentCommit(folder: string): Promise<string | null> {
  const git = (...args: string[]) => promisify(execFile)('git', ['-C', folder, ...args]);
  try {
    const { stdout: commit } = await git('rev-parse', '--short=12', 'HEAD');
    const { stdout: changes } = await git('status', '--porcelain', '--untracked-files=no');
    return commit.trim() + (changes === '' ? '' : '+changes');
  } catch {
    return null;
  }
}
