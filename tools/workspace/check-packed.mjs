#!/usr/bin/env node
// Packs every public package, lints the tarballs (publint, attw), installs them into an empty folder outside the workspace and runs an example
// there, as a user would. Needs built packages and their declarations.
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pnpmArguments } from '../bootstrap/prepare.mjs';
import { platformPackage } from '../release/platform-package.mjs';
import { finish, root, workspacePackages } from './packages.mjs';

/** Examples that need nothing but the packages. */
const examples = ['generate.mjs', 'stream.mjs', 'retention.mjs'];

const findings = [];
const folder = mkdtempSync(join(tmpdir(), 'kvsift-packed-'));
try {
  const tarballs = pack(folder);
  for (const tarball of tarballs) lint(tarball);
  tarballs.push(packBinary(folder));
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

function pack(destination) {
  for (const { folder: from, manifest } of workspacePackages()) {
    if (manifest.private !== true)
      check(`pack ${manifest.name}`, 'npx', pnpmArguments('--dir', from, 'pack', '--pack-destination', destination));
  }
  return readdirSync(destination).map((name) => join(destination, name));
}

/** The prebuilt binary of this machine, as the release would publish it. */
function packBinary(destination) {
  const from = platformPackage(join(destination, 'platform'));
  const before = new Set(readdirSync(destination));
  check('npm pack of the binary', 'npm', ['pack', from, '--pack-destination', destination, '--loglevel=error'], destination);
  return join(destination, readdirSync(destination).find((name) => !before.has(name)) ?? '');
}

function lint(tarball) {
  check(`publint ${tarball}`, process.execPath, [join(root, 'node_modules/publint/src/cli.js'), '--strict', tarball]);
  const attw = join(root, 'node_modules/@arethetypeswrong/cli/dist/index.js');
  check(`attw ${tarball}`, process.execPath, [
    attw,
    '--profile',
    'esm-only',
    '--exclude-entrypoints',
    './package.json',
    '--quiet',
    tarball,
  ]);
}

function install(home, tarballs) {
  writeFileSync(join(home, 'package.json'), '{ "private": true, "type": "module" }\n');
  const quiet = ['--no-audit', '--no-fund', '--loglevel=error', '--prefer-offline'];
  if (!check('npm install of the tarballs', 'npm', ['install', ...quiet, ...tarballs], home)) return;
  for (const name of examples) {
    copyFileSync(join(root, 'examples', name), join(home, name));
    check(`examples/${name} outside the workspace`, process.execPath, [name], home);
  }
  check('kvsift --version outside the workspace', join(home, 'node_modules/.bin/kvsift'), ['--version'], home);
}
