#!/usr/bin/env node
// Builds the kernels for 64-bit ARM and runs their tests in an emulator, as CPUs with no, some and all of the instructions that have kernels of their own.
import { spawnSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const kernels = fileURLToPath(new URL('../kernels', import.meta.url));
const build = fileURLToPath(new URL('../build/arm', import.meta.url));
const compiler = 'aarch64-linux-gnu-g++';
const emulator = 'qemu-aarch64';
const cpus = ['cortex-a53', 'neoverse-n1', 'max'];

function run(command, args) {
  const { status, error } = spawnSync(command, args, { stdio: 'inherit' });
  if (error) console.error(String(error));
  if (status !== 0) process.exit(status ?? 1);
}

for (const tool of [compiler, emulator]) {
  if (spawnSync(tool, ['--version']).status === 0) continue;
  console.log(`no ${tool}: the ARM kernels are not tested (Debian: apt-get install g++-aarch64-linux-gnu qemu-user)`);
  process.exit(0);
}
const target = ['-DCMAKE_SYSTEM_NAME=Linux', '-DCMAKE_SYSTEM_PROCESSOR=aarch64', `-DCMAKE_CXX_COMPILER=${compiler}`];
run('cmake', ['-S', kernels, '-B', build, ...target]);
run('cmake', ['--build', build, '--target', 'kvsift_kernel_tests', '--parallel', String(availableParallelism())]);
// All but the thread pool's, which times itself.
const tests = ['formats', 'linear', 'rows', 'kv', 'attention', 'columns', 'sampling'];
for (const cpu of cpus) {
  console.log(`kernels on an emulated ${cpu}:`);
  run(emulator, ['-cpu', cpu, '-L', '/usr/aarch64-linux-gnu', join(build, 'kvsift_kernel_tests'), ...tests]);
}
