#!/usr/bin/env node
// npm run bundle:gpu [-- <folder>]: one folder with which kvsift and all its checks run on a machine without a network that has an NVIDIA driver, the CUDA
// toolkit, CMake and a C++ compiler. Node is in it, the kernels are compiled there. Models are not in it.
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { sourceAliases } from '@kvsift/presets/vitest';
import { build, install, root } from '../bootstrap/prepare.mjs';

/** Largest bundle, bytes. */
const limit = 60e6;
const require = createRequire(import.meta.url);

const target = resolve(process.argv[2] ?? join(root, 'kvsift-gpu'));
if (existsSync(target) && !existsSync(join(target, 'gpu-check'))) {
  console.error(`bundle:gpu: ${target} exists and is no bundle; name another folder`);
  process.exit(1);
}

install();
build();
rmSync(target, { recursive: true, force: true });
mkdirSync(join(target, 'lib'), { recursive: true });

await bundleScripts();
copyData();
copySources();
copyNode();
writeStarters();
const bytes = sizeOf(target);
if (bytes > limit) {
  console.error(`bundle:gpu: ${target} has ${megabytes(bytes)}, the limit is ${megabytes(limit)}`);
  process.exit(1);
}
console.log(`bundle:gpu: ${target}, ${megabytes(bytes)}. Copy it to the machine and run ./gpu-check there.`);

/** The command, the check and the benchmark, each with all it imports. */
async function bundleScripts() {
  // tsup brings esbuild along.
  const esbuild = createRequire(require.resolve('tsup'))('esbuild');
  const alias = Object.fromEntries(
    sourceAliases(root).map(({ find, replacement }) => [find.source.replace(/^\^|\$$/g, '').replaceAll('\\', ''), replacement]),
  );
  await esbuild.build({
    entryPoints: {
      kvsift: join(root, 'apps/runner/src/cli.ts'),
      'gpu-check': join(root, 'tools/release/gpu-check/gpu-check.mjs'),
      gpu: join(root, 'tools/bench/src/gpu.ts'),
      'backend-cuda': join(root, 'native/cuda/src/index.ts'),
    },
    outdir: join(target, 'lib'),
    ...{ bundle: true, splitting: true, format: 'esm', platform: 'node', target: 'node20', minify: true, logLevel: 'error' },
    // Addons of dependencies come along as they are.
    loader: { '.node': 'copy' },
    // Test suites of the testkit are registered by vitest, which a bundle has no use for.
    alias: {
      ...alias,
      vitest: join(root, 'tools/release/gpu-check/no-vitest.mjs'),
      'fast-check': join(root, 'tools/release/gpu-check/no-vitest.mjs'),
    },
    // What CommonJS modules expect to be there.
    banner: {
      js: [
        "import { createRequire as createRequireHere } from 'node:module';",
        "import { fileURLToPath as fileURLToPathHere } from 'node:url';",
        'const require = createRequireHere(import.meta.url);',
        "const __dirname = fileURLToPathHere(new URL('.', import.meta.url));",
      ].join('\n'),
    },
  });
  // The command looks for the backend by its name, because elsewhere it is optional.
  const optional = join(target, 'node_modules/@kvsift/backend-cuda');
  mkdirSync(optional, { recursive: true });
  writeFileSync(
    join(optional, 'package.json'),
    `${JSON.stringify({ name: '@kvsift/backend-cuda', type: 'module', exports: './index.js' })}\n`,
  );
  writeFileSync(join(optional, 'index.js'), "export * from '../../../lib/backend-cuda.js';\n");
  // The word splitter that one of LongBench's scores needs, and its dictionaries: a third of their size when packed.
  const words = createRequire(join(root, 'packages/eval-text/package.json'));
  const lib = join(target, 'lib');
  const splitter = readdirSync(lib).filter((name) => name.endsWith('.node'));
  for (const name of ['dict.txt', 'idf.txt']) copyFileSync(join(dirname(words.resolve('@node-rs/jieba')), name), join(lib, name));
  execFileSync('tar', ['-cJf', join(target, 'words.tar.xz'), '--remove-files', '-C', lib, ...splitter, 'dict.txt', 'idf.txt']);
  const { version } = JSON.parse(readFileSync(join(root, 'apps/runner/package.json'), 'utf8'));
  writeFileSync(
    join(target, 'package.json'),
    `${JSON.stringify({ name: 'kvsift-gpu', version, commit: commit(), private: true, type: 'module' }, null, 2)}\n`,
  );
}

/** What the figures of the bundle are figures of. */
function commit() {
  try {
    return execFileSync('git', ['-C', root, 'describe', '--always', '--dirty'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  } catch {
    return 'unknown';
  }
}

/** What modules look for beside themselves, and the goldens. */
function copyData() {
  cpSync(join(root, 'packages/demo-model/model'), join(target, 'model'), { recursive: true });
  cpSync(join(root, 'packages/eval-ruler/data'), join(target, 'data'), { recursive: true });
  mkdirSync(join(target, 'build/Release'), { recursive: true });
  const addon = join(target, 'build/Release/kvsift-cpu.node');
  copyFileSync(join(root, 'native/cpu/build/Release/kvsift-cpu.node'), addon);
  strip(addon);
  mkdirSync(join(target, 'python'));
  copyFileSync(join(root, 'tools/bench/python/gpu_peer.py'), join(target, 'python/gpu_peer.py'));
  const golden = join(root, '../shared/golden');
  if (!existsSync(golden)) return console.log('bundle:gpu: there is no ../shared/golden: the bundle goes without goldens');
  const parts = ['golden/forward', 'golden/policies'];
  execFileSync('tar', ['-cJf', join(target, 'golden.tar.xz'), '-C', dirname(golden), '--dereference', ...parts], {
    env: { ...process.env, XZ_OPT: '-9e' },
  });
}

/** What is needed to compile the kernels and the addon: sources and the headers of Node. */
function copySources() {
  const native = join(target, 'src/native');
  const copy = (path) => cpSync(join(root, 'native', path), join(native, path), { recursive: true });
  for (const path of [
    'cuda/CMakeLists.txt',
    'cuda/addon',
    'cuda/kernels',
    'cpu/addon/launch',
    'cpu/addon/node',
    'cpu/addon/ops',
    'cpu/addon/runtime',
  ])
    copy(path);
  for (const path of ['cpu/kernels/include', 'cpu/kernels/src/dtype.cpp']) copy(path);
  const headers = join(native, 'cuda/node-headers');
  const cuda = createRequire(join(root, 'native/cuda/package.json'));
  cpSync(join(dirname(cuda.resolve('node-api-headers/package.json')), 'include'), headers, { recursive: true });
  const wrapper = dirname(cuda.resolve('node-addon-api/package.json'));
  for (const name of readdirSync(wrapper).filter((file) => file.endsWith('.h')))
    copyFileSync(join(wrapper, name), join(headers, name));
  copyFileSync(join(root, 'LICENSE'), join(target, 'LICENSE'));
}

/** The running Node without its debug symbols, packed: it is unpacked by the first command. */
function copyNode() {
  const node = join(target, 'node');
  copyFileSync(process.execPath, node);
  strip(node);
  // Calls with their targets instead of distances repeat: a megabyte less.
  execFileSync('xz', ['--x86', '--lzma2=preset=6', '-T1', node]);
}

/** Takes debug symbols out of a file; where that does not work it is only larger. */
function strip(file) {
  try {
    execFileSync('strip', ['--strip-unneeded', file], { stdio: 'ignore' });
  } catch {
    // Only larger.
  }
}

function writeStarters() {
  const starter = (name, script) => {
    const text = [
      '#!/bin/sh',
      'here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)',
      '# Unpacked once, whole or not at all.',
      'if [ ! -x "$here/node" ]; then xz -dc "$here/node.xz" > "$here/node.$$" && chmod +x "$here/node.$$" && mv "$here/node.$$" "$here/node" || exit 1; fi',
      'if [ -f "$here/golden.tar.xz" ] && [ ! -d "$here/golden" ]; then mkdir "$here/golden.$$" && tar -xJf "$here/golden.tar.xz" -C "$here/golden.$$" && mv "$here/golden.$$/golden" "$here/golden" && rmdir "$here/golden.$$" || exit 1; fi',
      'if [ ! -f "$here/lib/idf.txt" ]; then mkdir "$here/words.$$" && tar -xJf "$here/words.tar.xz" -C "$here/words.$$" && mv "$here/words.$$"/*.node "$here/words.$$/dict.txt" "$here/words.$$/idf.txt" "$here/lib/" && rmdir "$here/words.$$" || exit 1; fi',
      `exec "$here/node" "$here/lib/${script}.js" "$@"`,
      '',
    ].join('\n');
    writeFileSync(join(target, name), text);
    chmodSync(join(target, name), 0o755);
  };
  starter('kvsift', 'kvsift');
  starter('gpu-check', 'gpu-check');
  copyFileSync(join(root, 'tools/release/gpu-check/README.md'), join(target, 'README.md'));
}

function sizeOf(path) {
  const info = statSync(path);
  return info.isDirectory() ? readdirSync(path).reduce((sum, name) => sum + sizeOf(join(path, name)), 0) : info.size;
}

function megabytes(bytes) {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
