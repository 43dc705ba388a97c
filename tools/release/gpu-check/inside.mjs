// Stages of ./gpu-check that run in a process of their own but need no other program.
import { spawnSync } from 'node:child_process';
import { createCudaBackend } from '@kvsift/backend-cuda';
import { createReferenceBackend } from '@kvsift/backend-reference';
import { conformanceCases, defaultTolerance } from '@kvsift/backend-testkit';
import { buildAddon, findNvcc } from '../../../native/cuda/addon/build.mjs';

const first = (command, args) => {
  const { status, stdout, error } = spawnSync(command, args, { encoding: 'utf8' });
  return error || status !== 0 ? undefined : stdout.trim();
};

/** What there is and what is missing; true where a GPU can be used. */
function machine() {
  const facts = {
    node: process.version,
    cmake: first('cmake', ['--version'])?.split('\n')[0],
    compiler: first('c++', ['--version'])?.split('\n')[0],
    nvcc:
      findNvcc() &&
      first(findNvcc(), ['--version'])
        ?.split('\n')
        .find((line) => line.includes('release')),
    gpu: first('nvidia-smi', ['--query-gpu=name,driver_version,memory.total,compute_cap', '--format=csv,noheader']),
  };
  for (const [name, fact] of Object.entries(facts)) console.log(`${name}: ${fact ?? 'missing'}`);
  if (!facts.gpu)
    console.log(
      'There is no GPU on this machine, or no driver for it: nvidia-smi lists none. Nothing of this check can run here.',
    );
  else if (!facts.nvcc || !facts.cmake || !facts.compiler)
    console.log('The kernels cannot be compiled here: install what is missing above.');
  return Boolean(facts.gpu && facts.nvcc && facts.cmake && facts.compiler);
}

function build(paths) {
  const { status, output } = buildAddon({
    ...{
      root: paths.cuda,
      build: paths.build,
      gpu: true,
      tests: true,
      targets: 'native',
      jobs: String(navigator?.hardwareConcurrency ?? 4),
    },
    onStep: (title) => console.log(title),
  });
  if (status !== 0) console.log(output.slice(-8000));
  return status === 0;
}

async function conformance() {
  const actual = createCudaBackend();
  const reference = createReferenceBackend();
  const bench = { reference, actual, tolerance: defaultTolerance(actual.info.compute), another: async () => createCudaBackend() };
  console.log(actual.info.description);
  let [passed, failed] = [0, 0];
  for (const { op, title, run } of conformanceCases()) {
    try {
      await run(bench);
      passed += 1;
    } catch (error) {
      failed += 1;
      console.log(`failed: ${op}: ${title}: ${error instanceof Error ? error.message : String(error)}`);
      await actual.finish().catch(() => {});
    }
  }
  console.log(`${passed} passed, ${failed} failed, 0 skipped`);
  await actual.dispose();
  return failed === 0;
}

/** Runs one of them; true where it went well. */
export async function runInside(name, paths) {
  if (name === 'machine') return machine();
  if (name === 'build') return build(paths);
  return conformance();
}
