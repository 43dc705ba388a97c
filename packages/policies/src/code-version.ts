import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { manifestOf } from './manifest.js';

/**
 * Tells the code of a policy from outside from other code of it: the version of its package, where it has one, and 12 digits of a hash over the file that was
 * loaded or, in a package, over all files in that file's folder and below.
 * @param source file or folder of the policy
 * @param entry the file that was loaded
 */
export function codeVersion(source: string, entry: string): string {
  const isPackage = source !== entry;
  const root = dirname(entry);
  const hash = createHash('sha256');
  for (const path of isPackage ? filesBelow(root) : [entry]) {
    hash.update(`${relative(root, path)}\n`);
    hash.update(createHash('sha256').update(readFileSync(path)).digest());
  }
  const digest = hash.digest('hex').slice(0, 12);
  const { version } = isPackage ? manifestOf(source) : {};
  return version === undefined ? digest : `${version} ${digest}`;
}

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true })
    .filter(({ name }) => name !== 'node_modules' && !name.startsWith('.'))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((item) => {
      const path = join(folder, item.name);
      if (item.isDirectory()) return filesBelow(path);
      return item.isFile() ? [path] : [];
    });
}
