import { rename, writeFile } from 'node:fs/promises';
import { type ReportData, reportPage } from '@kvsift/report';

/** Writes the HTML page of results; the file is there whole or not at all. */
export async function writeReport(path: string, data: ReportData, title: string): Promise<void> {
  const draft = `${path}.draft`;
  await writeFile(draft, await reportPage(data, title));
  await rename(draft, path);
}
