// The stages of ./gpu-check: each runs in a process of its own, within eight minutes.
import { join } from 'node:path';

/** Files and folders of the bundle. */
export const bundle = (folder) => ({
  folder,
  cuda: join(folder, 'src/native/cuda'),
  build: join(folder, 'build/gpu'),
  tests: join(folder, 'build/gpu/kernels/tests/kvsift_cuda_tests'),
  golden: join(folder, 'golden'),
  cli: join(folder, 'lib/kvsift.js'),
  bench: join(folder, 'lib/gpu.js'),
  check: join(folder, 'lib/gpu-check.js'),
});

/** Lengths and policies of the benchmark, one stage each, so that none takes too long. */
const lengths = [4096, 16384, 32768, 65536, 131072];

/**
 * { name, what, command: [program, ...arguments], inside } in order; `inside` stages run in the process that is started for them.
 * @param models folder of models that cases of the goldens name; undefined: such cases are skipped
 */
export function stages(paths, { models } = {}) {
  const node = process.execPath;
  const verify = (folder, where = '', options = []) => ({
    name: `golden-${folder}${where && '-two-devices'}`,
    what: `goldens of ${folder}${where}`,
    command: [
      node,
      paths.cli,
      'verify',
      folder,
      join(paths.golden, folder),
      '--backend',
      'cuda',
      ...options,
      ...(models ? ['--models', models] : []),
    ],
  });
  return [
    { name: 'machine', what: 'driver, GPU, toolkit and compiler', inside: true },
    { name: 'build', what: 'compiles the kernels for this GPU, and the addon on them', inside: true },
    {
      name: 'kernels',
      what: 'every kernel against a float64 reference, on the host and on the GPU',
      command: [paths.tests],
    },
    { name: 'conformance', what: 'every op of the backend against the reference', inside: true },
    verify('forward'),
    verify('policies'),
    verify('policies', ', on two logical devices of the GPU', ['--device', '0,0']),
    {
      name: 'bench-kernels',
      what: 'time and bandwidth of each kernel',
      command: [join(paths.build, 'kernels/bench/kvsift_cuda_bench')],
    },
    ...lengths.map((tokens) => ({
      name: `bench-${tokens / 1024}k`,
      what: `8B shape, a prompt of ${tokens} tokens: prefill, eviction, decoding`,
      command: [node, paths.bench, '--json', '--lengths', String(tokens), '--no-peers'],
    })),
    {
      name: 'bench-torch',
      what: 'the same beside PyTorch and transformers, where they are installed',
      command: [node, paths.bench, '--json', '--lengths', '4096,32768', '--policies', 'full'],
    },
    ...['memcheck', 'racecheck'].flatMap((tool) => [
      { name: `${tool}-attention`, what: `the tests of attention under compute-sanitizer, ${tool}`, inside: true },
      { name: `${tool}-others`, what: `the tests of all other kernels under compute-sanitizer, ${tool}`, inside: true },
    ]),
  ];
}
