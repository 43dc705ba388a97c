import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileError, pathKind } from '@kvsift/weights';

/** Paths of all files of a folder, with / between; links are followed. */
export async function filesIn(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch((error: unknown) => {
    throw fileError(folder, error);
  });
  const found = await Promise.all(
    names.map(async (name) => {
      const inner = join(folder, name);
      return (await pathKind(inner)) === 'folder' ? (await filesIn(inner)).map((file) => `${name}/${file}`) : [name];
    }),
  );
  return found.flat().sort();
}
