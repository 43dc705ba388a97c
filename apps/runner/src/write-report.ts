import { realpath, rename, stat, writeFile } from 'node:fs/promises';
import { type ReportData, reportPage } from '@kvsift/report';

/** Writes the HTML page of results; a file is there whole or not at all, a link goes on pointing at it, and a pipe or device is written to. */
export async function writeReport(path: string, data: ReportData, title: string): Promise<void> {
  const page = await reportPage(data, title);
  const found = await stat(path).catch(() => undefined);
  if (found?.isFile() === false) return writeFile(path, page);
  const target = found === undefined ? path : await realpath(path);
  const draft = `${target}.draft`;
  await writeFile(draft, page);
  await rename(draft, target);
}
