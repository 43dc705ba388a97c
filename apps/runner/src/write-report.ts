import { access, constants, rename, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type ReportData, reportPage } from '@kvsift/report';
import { KvsiftError } from '@kvsift/tensor';

/** Finds out before the work whether its report can be written. @throws KvsiftError `file_unreadable` */
export async function checkWritable(path: string): Promise<void> {
  await access(dirname(path), constants.W_OK).catch((cause: Error) => {
    throw new KvsiftError('file_unreadable', `${path} cannot be written: ${cause.message}`, { path }, { cause });
  });
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
