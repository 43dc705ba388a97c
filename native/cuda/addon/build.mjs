#!/usr/bin/env node
// Builds the addon. Without arguments: on the kernels for the host, which the tests of this package run on; into build/host. With --gpu: on the kernels for
// GPUs, with their tests and the benchmark, into build/gpu; needs nvcc, takes minutes the first time, and is what `npm run build:cuda` calls.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const own = fileURLToPath(new URL('..', import.meta.url));
const require = createRequire(import.meta.url);

/** Headers of Node-API and of its C++ wrapper: those of the packages, or in a bundle those that lie beside it. */
function nodeHeaders(root) {
  const bundled = join(root, 'node-headers');
  if (existsSync(bundled)) return [bundled];
  const headers = join(dirname(require.resolve('node-api-headers/package.json')), 'include');
  return [headers, dirname(require.resolve('node-addon-api/package.json'))];
}

const has = (command) => spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0;

/** nvcc: on the path or where NVIDIA's packages put it; undefined where there is none. */
export function findNvcc() {
  if (has('nvcc')) return 'nvcc';
  const usual = '/usr/local/cuda/bin/nvcc';
  return existsSync(usual) ? usual : undefined;
}

/**
 * Configures and builds `root` (this package, or its copy in a bundle) in `build`.
 * @returns { status, output } of the first command that failed, or of the last
 */
export function buildAddon({ root = own, gpu = false, build = join(root, 'build', gpu ? 'gpu' : 'host'), ...options } = {}) {
  const { tests = false, jobs = process.env.KVSIFT_JOBS ?? '2', targets, onStep = () => {} } = options;
  mkdirSync(build, { recursive: true });
  const nvcc = findNvcc();
  const settings = [
    `-DKVSIFT_NODE_HEADERS=${nodeHeaders(root).join(';')}`,
    `-DKVSIFT_CUDA=${gpu ? 'ON' : 'OFF'}`,
    `-DKVSIFT_CUDA_EMULATED=${gpu ? 'OFF' : 'ON'}`,
    `-DKVSIFT_CUDA_TESTS=${tests ? 'ON' : 'OFF'}`,
    ...(gpu && nvcc !== 'nvcc' ? [`-DCMAKE_CUDA_COMPILER=${nvcc}`] : []),
    ...(targets ? [`-DKVSIFT_CUDA_ARCHITECTURES=${targets}`] : []),
  ];
  const generator = has('ninja') && !existsSync(join(build, 'Makefile')) ? ['-G', 'Ninja'] : [];
  const run = (title, args) => {
    onStep(title);
    const { status, stdout, stderr, error } = spawnSync('cmake', args, { encoding: 'utf8', maxBuffer: 1 << 28 });
    return { status: status ?? 1, output: `${stdout ?? ''}${stderr ?? ''}${error ? String(error) : ''}` };
  };
  // Configuring costs seconds: only where the options are others than the last time, or the folder has been moved. CMake looks after its own files, but for
  // a cache from elsewhere.
  const wanted = JSON.stringify([generator, settings, root, build]);
  const stamp = join(build, 'configured');
  if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== wanted) {
    const configured = run('Configuring', ['--fresh', ...generator, ...settings, '-S', root, '-B', build]);
    if (configured.status !== 0) return configured;
    writeFileSync(stamp, wanted);
  }
  return run('Building (minutes the first time)', ['--build', build, '--parallel', jobs]);
}

// Bundled into another program (gpu-check) this file has that program's address, but not its name.
const program = process.argv[1];
if (program !== undefined && basename(program) === 'build.mjs' && import.meta.url === pathToFileURL(program).href) {
  const { status, output } = buildAddon({ gpu: process.argv.includes('--gpu') });
  if (status !== 0) {
    console.error(output.slice(0, 20_000));
    console.error(
      'The native part of @kvsift/backend-cuda could not be built. It needs CMake 3.25 or newer and a C++20 compiler.',
    );
    process.exit(1);
  }
}
