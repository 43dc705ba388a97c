import { type FileHandle, open, stat } from 'node:fs/promises';
import { KvsiftError } from '@kvsift/tensor';

/** A regular file that exists now, and its size. */
export interface FileFacts {
  readonly path: string;
  readonly size: number;
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

/** The typed form of a failure of the file system. */
export function fileError(path: string, error: unknown): KvsiftError {
  const code = codeOf(error);
  if (code === 'ENOENT' || code === 'ENOTDIR') {
    return new KvsiftError('file_not_found', `${path} does not exist`, { path }, { cause: error });
  }
  const reason = error instanceof Error ? error.message : String(error);
  return new KvsiftError('file_unreadable', `${path} cannot be read: ${reason}`, { path }, { cause: error });
}

/** What lies at `path`; links are followed. @throws KvsiftError `file_unreadable` */
export async function pathKind(path: string): Promise<'file' | 'folder' | 'other' | 'nothing'> {
  try {
    const facts = await stat(path);
    return facts.isFile() ? 'file' : facts.isDirectory() ? 'folder' : 'other';
  } catch (error) {
    const failure = fileError(path, error);
    if (failure.code === 'file_not_found') return 'nothing';
    throw failure;
  }
}

/**
 * Opens a regular file for reading, hands it to `use` and closes it. Pipes and devices are refused before they can block.
 * @throws KvsiftError `file_not_found`, `file_unreadable`
 */
export async function withFile<T>(path: string, use: (handle: FileHandle, facts: FileFacts) => Promise<T>): Promise<T> {
  let handle: FileHandle | undefined;
  try {
    const before = await stat(path);
    if (!before.isFile()) {
      throw new KvsiftError('file_unreadable', `${path} is not a regular file`, { path });
    }
    handle = await open(path, 'r');
    const { size } = await handle.stat();
    return await use(handle, { path, size });
  } catch (error) {
    throw error instanceof KvsiftError || codeOf(error) === undefined ? error : fileError(path, error);
  } finally {
    await handle?.close();
  }
}

/** Fills `target` from byte `position` on. @throws KvsiftError `file_malformed` where the file ends before */
export async function readInto(handle: FileHandle, path: string, target: Uint8Array, position: number): Promise<void> {
  let done = 0;
  while (done < target.length) {
    const { bytesRead } = await handle.read(target, done, target.length - done, position + done);
    if (bytesRead === 0) {
      const end = position + done;
      throw new KvsiftError('file_malformed', `${path} ends at byte ${end}; expected ${position + target.length} bytes or more`, {
        path,
        size: end,
      });
    }
    done += bytesRead;
  }
}
