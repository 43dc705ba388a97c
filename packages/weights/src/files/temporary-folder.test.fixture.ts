import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { isKvsiftError, type KvsiftError } from '@kvsift/tensor';
import { afterEach } from 'vitest';

/** A folder per call, gone after the test. */
export function temporaryFolders(): () => string {
  const made: string[] = [];
  afterEach(() => {
    for (const folder of made.splice(0)) rmSync(folder, { recursive: true, force: true });
  });
  return () => {
    const folder = mkdtempSync(join(tmpdir(), 'kvsift-weights-'));
    made.push(folder);
    return folder;
  };
}

/** Writes a file and the folders above it; gives its path back. */
export function write(path: string, contents: Uint8Array | string): string {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, contents);
  return path;
}

/** The typed error that a promise rejects with. Anything else fails the test. */
export async function refusal(promise: Promise<unknown>): Promise<KvsiftError> {
  const error = await promise.then(
    () => new Error('accepted'),
    (reason: unknown) => reason,
  );
  if (!isKvsiftError(error)) throw error;
  return error;
}
