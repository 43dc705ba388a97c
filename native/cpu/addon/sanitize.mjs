#!/usr/bin/env node
// Builds the native tests with address and undefined-behaviour sanitizers in build-sanitize and runs them. Needs no Node headers.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const build = join(root, 'build/sanitize');

function run(command, args, options = {}) {
  const { status, error } = spawnSync(command, args, { stdio: 'inherit', cwd: root, ...options });
  if (error) console.error(String(error));
  if (status !== 0) process.exit(status ?? 1);
}

run('cmake', ['-S', root, '-B', build, '-DCMAKE_BUILD_TYPE=Release', '-DKVSIFT_SANITIZE=ON', '-DKVSIFT_NATIVE_TESTS=ON']);
run('cmake', ['--build', build, '--parallel', String(availableParallelism())]);
const env = { ...process.env, ASAN_OPTIONS: 'detect_leaks=1', UBSAN_OPTIONS: 'print_stacktrace=1' };
for (const program of ['addon/kvsift_runtime_tests', 'kernels/kvsift_kernel_tests']) {
  const path = join(build, program);
  // The kernels bring their own program once they have one.
  if (program.startsWith('kernels/') && !existsSync(path)) continue;
  console.log(`sanitized ${program}:`);
  run(path, [], { env });
}
