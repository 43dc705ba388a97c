import { readdir } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';

/** `models` beside each `golden` folder above a folder of goldens. */
function besideGolden(folder: string): string[] {
  const found: string[] = [];
  for (let at = resolve(folder); at !== dirname(at); at = dirname(at)) found.push(join(dirname(at), 'models'));
  return found;
}

/**
 * Looks a model up by the name that a golden gives it: NAME/, NAME.gguf or, for the family of a larger one, NAME-*.gguf; in each folder and in its `tiny`.
 */
export async function findModel(name: string, folders: readonly string[], goldens: string): Promise<string | undefined> {
  for (const root of [...folders, ...besideGolden(goldens)]) {
    for (const folder of [root, join(root, 'tiny')]) {
      const entries = await readdir(folder).catch((): string[] => []);
      const found =
        entries.find((entry) => entry === name || entry === `${name}.gguf`) ??
        entries.sort().find((entry) => entry.startsWith(`${name}-`) && entry.endsWith('.gguf'));
      if (found !== undefined) return join(folder, found);
    }
  }
  return undefined;
}
