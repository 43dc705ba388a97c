#!/usr/bin/env node
// Checks what all packages have in common: the fields and scripts of package.json, a README, and that no file outgrows its reader.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { filesBelow, finish, root, workspacePackages } from './packages.mjs';

const sourceLines = 300;
const testLines = 500;

/** Files that may be longer: how long, and why. */
const longer = new Map([
  ['packages/backend-reference/src/reference-backend.ts', { lines: 450, why: 'one short method for each op of the contract' }],
  [
    'native/cpu/kernels/src/kernels/attention.cpp',
    { lines: 450, why: 'compiled once per instruction set: one file, one set of flags' },
  ],
  [
    'native/cpu/kernels/src/kernels/products.cpp',
    { lines: 450, why: 'compiled once per instruction set: one file, one set of flags' },
  ],
  ['native/cuda/kernels/include/kvsift_cuda.h', { lines: 350, why: 'the one header of all kernels' }],
  ['native/cuda/kernels/src/kernels/decode.cuh', { lines: 350, why: 'one kernel with its tiles' }],
  ['packages/engine/src/session.ts', { lines: 400, why: 'the states of one class; its parts are in files of their own' }],
]);

const findings = [];
const packages = workspacePackages();

for (const { folder, manifest } of packages) {
  const complain = (text) => findings.push(`${folder}/package.json: ${text}`);
  if (!/^(@kvsift\/[a-z0-9-]+|kvsift)$/.test(manifest.name)) complain(`name ${manifest.name}`);
  if (manifest.type !== 'module') complain('"type" is not "module"');
  if (manifest.license !== 'MIT') complain('"license" is not "MIT"');
  for (const [name, version] of Object.entries({ ...manifest.dependencies, ...manifest.devDependencies })) {
    if (packages.some((other) => other.manifest.name === name) && version !== 'workspace:*')
      complain(`${name} is not "workspace:*"`);
  }
  if (manifest.private === true) continue;
  if (!existsSync(join(root, folder, 'README.md'))) findings.push(`${folder}: has no README.md`);
  const wanted = {
    engines: { node: '>=20.17' },
    repository: { type: 'git', url: 'git+https://github.com/kvsift/kvsift.git', directory: folder },
    publishConfig: { access: 'public', provenance: true },
  };
  for (const [field, value] of Object.entries(wanted)) {
    if (JSON.stringify(manifest[field]) !== JSON.stringify(value)) complain(`"${field}" is not ${JSON.stringify(value)}`);
  }
  if (!manifest.description?.endsWith('.')) complain('"description" is not a sentence');
  if (!Array.isArray(manifest.files)) complain('"files" is missing');
  // A prebuilt binary has no code of its own; a tool is run from source.
  if (manifest.os !== undefined || folder.startsWith('tools/')) continue;
  const { '.': main } = manifest.exports ?? {};
  if (main !== undefined && Object.keys(main)[0] !== 'types') complain('"types" is not first in "exports"');
  if (main === undefined && manifest.bin === undefined) complain('neither "exports" nor "bin"');
  const scripts = { test: `pnpm -w exec vitest run ${folder}/`, typecheck: 'tsc --build' };
  for (const [name, command] of Object.entries(scripts)) {
    if (manifest.scripts?.[name] !== command) complain(`script "${name}" is not "${command}"`);
  }
  if (!manifest.scripts?.build?.startsWith('tsup')) complain('script "build" does not begin with tsup');
}

for (const path of ['packages', 'native', 'apps', 'tools', 'examples'].flatMap((folder) =>
  filesBelow(folder, /\.(ts|mjs|py|cc|cpp|h|hpp|cu|cuh)$/),
)) {
  const limit = longer.get(path)?.lines ?? (/\.test(-d)?\.ts$|\/tests?\//.test(path) ? testLines : sourceLines);
  const text = readFileSync(join(root, path), 'utf8');
  if (/\.test\.ts$/.test(path) && text.includes('mkdtemp') && !/\brm(Sync)?\(/.test(text))
    findings.push(`${path}: makes a temporary folder and removes none; afterAll(() => rmSync(folder, { recursive: true }))`);
  const lines = text.split('\n').length - 1;
  if (lines > limit)
    findings.push(`${path}: ${lines} lines, at most ${limit}; cut it, or name it with a reason in check-packages.mjs`);
}
finish('packages', findings);
