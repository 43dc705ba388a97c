// The stages of ./gpu-check: each runs in a process of its own, within eight minutes.
import { join } from 'node:path';

/** Files and folders of the bundle. */
export const bundle = (folder) => ({
  folder,
  cuda: join(folder, 'src/native/cuda'),
  build: join(folder, 'build/gpu'),
  golden: join(folder, 'golden'),
  cli: join(folder, 'lib/kvsift.js'),
  bench: join(folder, 'lib/gpu.js'),
  check: join(folder, 'lib/gpu-check.js'),
});

/** Lengths and policies of the benchmark, one stage each, so that none takes too long. */
const lengths = [4096, 16384, 32768, 65536, 131072];

/**
 * { name, what, command(paths): [program, ...arguments], inside } in order; `inside` stages run in the process that is started for them.
 * @param models folder of models that cases of the goldens name; undefined: such cases are skipped
 */
export function stages(paths, { models } = {}) {
  const node = process.execPath;
  const verify = (suite, folder) => ({
    name: `golden-${folder}`,
    what: `goldens of ${folder}`,
    command: [
      node,
      paths.cli,
      'verify',
      suite,
      join(paths.golden, folder),
      '--backend',
      'cuda',
      ...(models ? ['--models', models] : []),
    ],
  });
  return [
    { name: 'machine', what: 'driver, GPU, toolkit and compiler', inside: true },
    { name: 'build', what: 'compiles the kernels for this GPU, and the addon on them', inside: true },
    {
      name: 'kernels',
      what: 'every kernel against a float64 reference, on the host and on the GPU',
      command: [join(paths.build, 'kernels/tests/kvsift_cuda_tests')],
    },
    { name: 'conformance', what: 'every op of the backend against the reference', inside: true },
    verify('forward', 'forward'),
    verify('policies', 'policies'),
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
  ];
}
