import { access, constants, mkdtemp, rmdir, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { KvsiftError } from '@kvsift/tensor';

/** What the system said about a file, as an error of kvsift that names it where the system does; any other error as it is. */
export function pathError(error: unknown): unknown {
  if (error instanceof Error && 'code' in error && (error.code === 'ENOSPC' || error.code === 'EDQUOT') && !('path' in error))
    return new KvsiftError(
      'file_unreadable',
      'no space is left on the disk: what was stored before stays, and the command goes on there once there is space',
      {},
      { cause: error },
    );
  if (!(error instanceof Error && 'path' in error && 'syscall' in error && 'code' in error)) return error;
  const { path, code, message } = error;
  return new KvsiftError(
    code === 'ENOENT' ? 'file_not_found' : 'file_unreadable',
    `${path}: ${message.replace(/,.*/, '')}`,
    { path },
    { cause: error },
  );
}

/** Finds out before the work whether a file can be written. @throws KvsiftError `file_unreadable` */
export async function checkWritable(path: string): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (found?.isDirectory()) throw unwritable(path, 'it is a folder');
  // With the slash it has to be a folder.
  await access(found ? path : `${dirname(path)}/`, constants.W_OK).catch((cause: Error) => {
    throw unwritable(path, cause.message, cause);
  });
}

/** Finds out before the work whether a folder can be made, or written to where it is there. @throws KvsiftError `file_unreadable` */
export async function checkFolder(path: string): Promise<void> {
  for (let place = resolve(path); ; place = dirname(place)) {
    const found = await stat(place).catch(() => undefined);
    if (found === undefined && place !== dirname(place)) continue;
    if (!found?.isDirectory()) throw unwritable(path, `${place} is a file, expected a folder`);
    // Asking for rights is not enough: below /proc nothing can be made, and Node tries it for ever (`mkdir` with `recursive`).
    const trial = await mkdtemp(join(place, '.kvsift-')).catch((cause: Error) => {
      throw unwritable(path, cause.message, cause);
    });
    await rmdir(trial);
    return;
  }
}

function unwritable(path: string, reason: string, cause?: Error): KvsiftError {
  return new KvsiftError('file_unreadable', `${path} cannot be written: ${reason.replace(/, \w+ '.*/, '')}`, { path }, { cause });
}
