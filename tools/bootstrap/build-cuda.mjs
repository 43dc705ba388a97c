// npm run build:cuda: compiles the CUDA kernels for every target where nvcc is, and the addon on them; prints what each kernel uses, and runs their tests:
// on the host always, on the device where there is one. Where nvcc is missing it says so and still tests the kernels on the host, if CMake and a C++
// compiler are there. --targets <list> compiles for these alone (CMAKE_CUDA_ARCHITECTURES).
import { spawnSync } from 'node:child_process';
import { appendFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { buildAddon, findNvcc } from '../../native/cuda/addon/build.mjs';
import { root } from './prepare.mjs';

/** Registers of a thread beyond which a kernel cannot be started with its threads at all. */
const mostRegisters = 255;
const { targets } = parseArgs({ options: { targets: { type: 'string' } } }).values;

function stop(text) {
  console.error(`build:cuda: ${text}`);
  process.exit(1);
}

const has = (command) => spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0;

/** Kernels in what ptxas printed: name, target, registers, spilled bytes, stack bytes. */
function kernelUse(log) {
  const kernels = [];
  for (const line of log.split('\n')) {
    const entry = /Compiling entry function '(\S+)' for '(\S+)'/.exec(line);
    if (entry) kernels.push({ name: entry[1], target: entry[2], registers: 0, spilled: 0, stack: 0 });
    const last = kernels.at(-1);
    if (!last) continue;
    const frame = /(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads/.exec(line);
    if (frame) [last.stack, last.spilled] = [Number(frame[1]), Number(frame[2]) + Number(frame[3])];
    const used = /Used (\d+) registers/.exec(line);
    if (used) last.registers = Number(used[1]);
  }
  return [...new Map(kernels.map((kernel) => [`${kernel.name} ${kernel.target}`, kernel])).values()];
}

function readable(names) {
  const { status, stdout } = spawnSync('c++filt', [], { input: names.join('\n'), encoding: 'utf8' });
  const lines = status === 0 ? stdout.split('\n') : names;
  return lines.map((line) =>
    line
      .replaceAll('kvsift::cuda::', '')
      .replaceAll('(kvsift_cuda_dtype)', '')
      .replace(/\(.*$/, '')
      .replace(/^void /, ''),
  );
}

/** One line per kernel with its use on each target. */
function printUse(kernels) {
  const shown = new Map();
  const names = readable(kernels.map((kernel) => kernel.name));
  for (const [index, kernel] of kernels.entries()) {
    const uses = shown.get(names[index]) ?? [];
    uses.push(`${kernel.target.replace('sm_', '')}: ${kernel.registers}${kernel.stack > 0 ? ` (stack ${kernel.stack})` : ''}`);
    shown.set(names[index], uses);
  }
  console.log('Registers of each kernel per target:');
  for (const [name, uses] of [...shown].sort(([a], [b]) => (a < b ? -1 : 1)))
    console.log(`  ${name.padEnd(44)} ${uses.join('  ')}`);
}

if (!has('cmake') || !(has('c++') || has('g++'))) {
  console.log('build:cuda: no CMake or no C++ compiler on this machine: nothing was built.');
  process.exit(0);
}
const gpu = findNvcc() !== undefined;
if (!gpu) console.log('build:cuda: no nvcc on this machine: the kernels are built for the host alone.');
const build = join(root, 'native/cuda/build', gpu ? 'gpu' : 'host');
const built = buildAddon({ gpu, tests: true, targets, onStep: (title) => console.log(`> ${title}`) });
const ptxas = /^.*(ptxas info|stack frame).*\n/gm;
if (built.status !== 0) stop(`the build failed:\n${built.output.replaceAll(ptxas, '').slice(-8000)}`);

// A second run compiles nothing, so what ptxas said is kept; where a kernel was compiled again, the last word counts.
const logPath = join(build, 'ptxas.log');
appendFileSync(logPath, built.output.replaceAll(/^(?!.*(ptxas info|stack frame)).*\n/gm, ''));
const kernels = gpu ? kernelUse(readFileSync(logPath, 'utf8')) : [];
if (kernels.length > 0) printUse(kernels);
const spilling = kernels.filter((kernel) => kernel.spilled > 0 || kernel.registers > mostRegisters);
if (spilling.length > 0) stop(`these kernels spill registers: ${readable(spilling.map((kernel) => kernel.name)).join(', ')}`);

console.log('> Running the tests of the kernels');
const tested = spawnSync(join(build, 'kernels/tests/kvsift_cuda_tests'), [], { encoding: 'utf8' });
const output = `${tested.stdout ?? ''}${tested.stderr ?? ''}${tested.error ?? ''}`.trim();
console.log(output);
if (tested.status !== 0) stop('tests failed');
const what = gpu
  ? `${kernels.length} kernels for ${new Set(kernels.map((kernel) => kernel.target)).size} targets, no spills`
  : 'host only';
console.log(`build:cuda: ${what}; ${output.split('\n').at(-1)}`);
