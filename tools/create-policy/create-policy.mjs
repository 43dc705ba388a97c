#!/usr/bin/env node
// Starts a policy. In the kvsift repository: npm run create:policy my-policy makes packages/policy-my-policy. Elsewhere: npm create @kvsift/policy my-policy makes ./my-policy.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { policyFiles, standaloneConfig, standaloneManifest } from './templates.mjs';

const [name, ...rest] = process.argv.slice(2);
if (name === '--help' || name === '-h') {
  console.log('usage: create-policy <name>   (lower case words with hyphens between them: my-policy)');
  process.exit(0);
}
if (name === undefined || rest.length > 0 || !/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/.test(name)) {
  console.error('usage: create-policy <name>   (lower case words with hyphens between them: my-policy)');
  process.exit(2);
}
const here = dirname(fileURLToPath(import.meta.url));
const root = resolve(here, '../..');
const inside = existsSync(join(root, 'pnpm-workspace.yaml')) && resolve(process.cwd()).startsWith(root);
const symbol = name.replace(/-([a-z0-9])/g, (_, letter) => letter.toUpperCase());
try {
  new Function(`'use strict'; let ${symbol};`);
} catch {
  console.error(`${name} cannot be the name of a variable in TypeScript: take two words, ${name}-policy`);
  process.exit(2);
}
const packageName = inside ? `@kvsift/policy-${name}` : `kvsift-policy-${name}`;
const target = inside ? join(root, 'packages', `policy-${name}`) : resolve(name);
const biome = join(root, 'node_modules/.bin/biome');
const pnpm = inside && `npx ${JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).packageManager}`;
if (inside && !existsSync(biome)) {
  console.error(`nothing is installed here yet: ${pnpm} install`);
  process.exit(2);
}
if (existsSync(target)) {
  console.error(`${target} exists already`);
  process.exit(2);
}

function write(path, text) {
  const file = join(target, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
}
const json = (value) => `${JSON.stringify(value, null, 2)}\n`;

if (inside) {
  // Quiet: it says what comes next after a new package, here it is more.
  const script = join(root, 'tools/workspace/new-package.mjs');
  const args = [script, `packages/policy-${name}`, 'An eviction policy.', '@kvsift/policy', '@kvsift/tensor'];
  execFileSync(process.execPath, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  const path = join(target, 'package.json');
  const { dependencies, publishConfig, ...manifest } = JSON.parse(readFileSync(path, 'utf8'));
  const devDependencies = { '@kvsift/backend-reference': 'workspace:*', '@kvsift/policy-testkit': 'workspace:*' };
  writeFileSync(path, json({ ...manifest, dependencies, devDependencies, publishConfig }));
} else {
  const { version } = JSON.parse(readFileSync(join(here, 'package.json'), 'utf8'));
  write('package.json', json(standaloneManifest({ packageName, version: version === '0.0.0' ? '*' : `^${version}` })));
  write('tsconfig.json', json(standaloneConfig));
}
for (const [path, text] of Object.entries(policyFiles({ packageName, name, symbol }))) write(path, text);
if (inside) execFileSync(biome, ['check', '--write', '--log-level=none', target], { cwd: root, stdio: 'ignore' });
console.log(
  inside
    ? `next: ${pnpm} install && node tools/policies/catalogue.mjs && ${pnpm} install && node tools/workspace/sync.mjs\n      npx vitest run packages/policy-${name}/`
    : `next: cd ${name} && npm install && npm test\n      then: kvsift eval run --policy ./${name} ... after npm run build`,
);
