#!/usr/bin/env node
// Writes the TypeScript project references of every package from its package.json, and the root list of projects.
// With --check it writes nothing and fails where a file is out of date.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const check = process.argv.includes('--check');
const groups = ['packages', 'native', 'apps', 'tools'];
const folders = groups
  .flatMap((group) =>
    existsSync(join(root, group))
      ? readdirSync(join(root, group))
          .sort()
          .map((name) => `${group}/${name}`)
      : [],
  )
  .concat('examples')
  .filter((folder) => existsSync(join(root, folder, 'package.json')) && existsSync(join(root, folder, 'tsconfig.json')))
  .filter((folder) => folder !== 'tools/presets');
const manifests = new Map(
  folders.map((folder) => [folder, JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8'))]),
);
const folderOf = new Map([...manifests].map(([folder, { name }]) => [name, folder]));
const stale = [];

function write(path, value) {
  const text = `${JSON.stringify(value, null, 2)}\n`;
  if (readFileSync(path, 'utf8') === text) return;
  if (check) stale.push(relative(root, path));
  else writeFileSync(path, text);
}

for (const [folder, manifest] of manifests) {
  const path = join(root, folder, 'tsconfig.json');
  const config = JSON.parse(readFileSync(path, 'utf8'));
  const names = Object.keys({
    ...manifest.dependencies,
    ...manifest.peerDependencies,
    ...manifest.devDependencies,
    ...manifest.optionalDependencies,
  });
  config.references = names
    .filter((name) => folderOf.has(name))
    .map((name) => ({ path: relative(join(root, folder), join(root, folderOf.get(name))) }))
    .sort((a, b) => (a.path < b.path ? -1 : 1));
  write(path, config);
}
write(join(root, 'tsconfig.json'), { files: [], references: folders.map((path) => ({ path })) });
if (stale.length > 0) {
  console.error(`out of date, run node tools/workspace/sync.mjs: ${stale.join(', ')}`);
  process.exit(1);
}
