// The packages of the workspace, as the checks see them.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url));

const ignored = new Set(['node_modules', 'dist', 'build', 'coverage', '.turbo', '.venv', '__pycache__']);

/** Every package with a package.json: { folder, manifest }, `folder` relative to the root. */
export function workspacePackages() {
  return ['packages', 'native', 'apps', 'tools']
    .filter((group) => existsSync(join(root, group)))
    .flatMap((group) => readdirSync(join(root, group)).map((name) => `${group}/${name}`))
    .concat('examples')
    .filter((folder) => existsSync(join(root, folder, 'package.json')))
    .map((folder) => ({ folder, manifest: JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8')) }));
}

/** Paths of the files below a folder whose names the pattern matches, relative to the root. */
export function filesBelow(folder, pattern) {
  const absolute = join(root, folder);
  if (!existsSync(absolute)) return [];
  return readdirSync(absolute, { withFileTypes: true }).flatMap((entry) => {
    const path = join(absolute, entry.name);
    if (entry.isDirectory()) {
      return ignored.has(entry.name) || entry.name.startsWith('build-') ? [] : filesBelow(relative(root, path), pattern);
    }
    return pattern.test(entry.name) ? [relative(root, path)] : [];
  });
}

/** Prints findings and ends the process: 1 where there are some. */
export function finish(title, findings) {
  for (const finding of findings) console.error(finding);
  console.log(findings.length === 0 ? `${title}: nothing to complain about` : `${title}: ${findings.length} findings`);
  process.exit(findings.length === 0 ? 0 : 1);
}
