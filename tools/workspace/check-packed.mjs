#!/usr/bin/env node
// Packs every public package, lints the tarballs (publint, attw), installs them into an empty folder outside the workspace and runs the examples,
// the snippets of the READMEs and the command there, as a user would. Needs built packages and their declarations.
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { pnpmArguments } from '../bootstrap/prepare.mjs';
import { finish, root, workspacePackages } from './packages.mjs';
import { checkSnippets } from './snippets.mjs';

const examples = readdirSync(join(root, 'examples')).filter((name) => name.endsWith('.mjs'));

const findings = [];
const folder = mkdtempSync(join(tmpdir(), 'kvsift-packed-'));
try {
  const tarballs = pack(folder);
  for (const tarball of tarballs) await lint(tarball);
  tarballs.push(packBinary(join(folder, 'platform')));
  const home = mkdtempSync(join(tmpdir(), 'kvsift-user-'));
  try {
    install(home, tarballs);
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
finish('packed packages', findings);

/** Runs a command quietly; its output becomes a finding where it fails. */
function check(title, command, args, cwd = root) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd, encoding: 'utf8', maxBuffer: 2 ** 26 });
  if (status !== 0) findings.push(`${title}:\n${error?.message ?? ''}${stdout}${stderr}`.trimEnd());
  return status === 0;
}

/** Tarballs of all public packages but those of the platforms, whose binaries are built elsewhere. */
function pack(destination) {
  const published = workspacePackages().filter(({ manifest }) => manifest.private !== true);
  const chosen = published.map(({ manifest }) => `--filter=${manifest.name}`);
  check('pack', 'npx', pnpmArguments('--recursive', ...chosen, 'pack', '--pack-destination', destination));
  const tarballs = readdirSync(destination).map((name) => join(destination, name));
  if (tarballs.length !== published.length) findings.push(`expected ${published.length} tarballs, found ${tarballs.length}`);
  return tarballs;
}

/** The prebuilt binary of this machine, as the release publishes it. */
function packBinary(destination) {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['native/cpu/addon/prebuilt.mjs'], {
    cwd: root,
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`no platform package: ${stderr}`);
  const from = stdout.trim().split(' is ready in ')[1];
  check('pack of the binary', 'npx', pnpmArguments('--dir', from, 'pack', '--pack-destination', destination));
  return join(destination, readdirSync(destination)[0] ?? '');
}

async function lint(tarball) {
  const bytes = readFileSync(tarball);
  const data = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
  const { messages, pkg } = await publint({ pack: { tarball: data }, strict: true });
  for (const message of messages) {
    if (message.type === 'error') findings.push(`publint ${pkg.name}: ${formatMessage(message, pkg, { color: false })}`);
  }
  if (pkg.exports?.['.'] === undefined) return; // a command only
  const { types, problems = [] } = await checkPackage(createPackageFromTarballData(new Uint8Array(data)), {
    excludeEntrypoints: ['./package.json'],
  });
  if (!types) findings.push(`attw ${pkg.name}: no types`);
  for (const problem of problems) {
    // Packages are ESM: how CommonJS of old resolves them is no matter.
    if (problem.resolutionKind === 'node10' || problem.resolutionKind === 'node16-cjs') continue;
    findings.push(`attw ${pkg.name}: ${JSON.stringify(problem)}`);
  }
}

function install(home, tarballs) {
  writeFileSync(join(home, 'package.json'), '{ "private": true, "type": "module" }\n');
  const quiet = ['--no-audit', '--no-fund', '--loglevel=error', '--prefer-offline'];
  if (!check('npm install of the tarballs', 'npm', ['install', ...quiet, ...tarballs], home)) return;
  for (const name of examples) {
    copyFileSync(join(root, 'examples', name), join(home, name));
    check(`examples/${name} outside the workspace`, process.execPath, [name], home);
  }
  checkSnippets(home, check);
  check('kvsift --version outside the workspace', join(home, 'node_modules/.bin/kvsift'), ['--version'], home);
  createPolicy(home);
}

/** A policy that `npm create @kvsift/policy` starts: it compiles, and the command runs it. */
function createPolicy(home) {
  const bin = (name) => join(home, 'node_modules/.bin', name);
  check('create-policy outside the workspace', bin('create-policy'), ['my-policy'], home);
  const types = ['--typeRoots', join(root, 'node_modules/@types')];
  const noTests = { extends: './tsconfig.json', exclude: ['**/*.test.ts'] }; // vitest is not installed there
  writeFileSync(join(home, 'my-policy/tsconfig.build.json'), JSON.stringify(noTests));
  const compiler = join(root, 'node_modules/typescript/bin/tsc');
  check('a new policy compiles', process.execPath, [compiler, '-p', 'my-policy/tsconfig.build.json', ...types], home);
  const generate = ['generate', 'demo', '-p', 'word '.repeat(40), '--policy', './my-policy', '--budget', '50%'];
  check('kvsift generate with a new policy', bin('kvsift'), generate, home);
}
