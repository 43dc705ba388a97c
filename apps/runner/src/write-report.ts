import { access, constants, rename, stat, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type ReportData, reportPage } from '@kvsift/report';
import { KvsiftError } from '@kvsift/tensor';

/** Finds out before the work whether its result can be written. @throws KvsiftError `file_unreadable` */
export async function checkWritable(path: string): Promise<void> {
  const refuse = (reason: string, cause?: Error) => {
    throw new KvsiftError('file_unreadable', `${path} cannot be written: ${reason}`, { path }, { cause });
  };
  // The trailing slash: a folder, not a file.
  await access(`${dirname(path)}/`, constants.W_OK).catch((cause: Error) => refuse(cause.message, cause));
  if ((await stat(path).catch(() => undefined))?.isDirectory()) refuse('it is a folder');
}

/** Writes the HTML page of results; the file is there whole or not at all. */
export async function writeReport(path: string, data: ReportData, title: string): Promise<void> {
  const draft = `${path}.draft`;
  try {
    await writeFile(draft, reportPage(data, title));
    await rename(draft, path);
  } catch (error) {
    if (error instanceof Error && 'code' in error && 'syscall' in error) {
      throw new KvsiftError('file_unreadable', `${path} cannot be written: ${error.message}`, { path }, { cause: error });
    }
    throw error;
  }
}
