#!/usr/bin/env node
// Builds the native part into build/Release. Nothing is done where no source is newer than the last build.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const product = join(root, 'build/Release/kvsift-cpu.node');
/** Its time is when the last build began: what changed since then, even while it ran, is not in it. */
const stamp = join(root, 'build/Release/built');

/** Time of the newest file below a folder. */
function newest(path) {
  const info = statSync(path);
  if (!info.isDirectory()) return info.mtimeMs;
  return Math.max(info.mtimeMs, ...readdirSync(path).map((name) => newest(join(path, name))));
}

const sources = ['addon', 'kernels', 'CMakeLists.txt', 'package.json'].map((name) => join(root, name));
if (existsSync(product) && existsSync(stamp) && statSync(stamp).mtimeMs > Math.max(...sources.map(newest))) process.exit(0);
const begun = new Date();

const require = createRequire(import.meta.url);
const cmakeJs = join(dirname(require.resolve('cmake-js/package.json')), 'bin/cmake-js');
const { status, stdout, stderr, error } = spawnSync(
  process.execPath,
  [cmakeJs, 'build', '--directory', root, '--config', 'Release', '--parallel', String(availableParallelism())],
  { cwd: root, encoding: 'utf8' },
);
if (status !== 0) {
  // The first errors tell; the rest would bury them.
  console.error(`${stdout ?? ''}${stderr ?? ''}`.slice(0, 20_000));
  console.error('The native part of @kvsift/backend-cpu could not be built. It needs CMake 3.20 or newer and a C++20 compiler.');
  if (error) console.error(String(error));
  process.exit(1);
}
writeFileSync(stamp, '');
utimesSync(stamp, begun, begun);
