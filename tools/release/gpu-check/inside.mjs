// Stages of ./gpu-check that run in a process of their own but need no other program.
import { execFile } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { promisify } from 'node:util';
import { createCudaBackend } from '@kvsift/backend-cuda';
import { createReferenceBackend } from '@kvsift/backend-reference';
import { conformanceCases, defaultTolerance } from '@kvsift/backend-testkit';
import { buildAddon } from '../../../native/cuda/addon/build.mjs';
import { machine, targets } from './machine.mjs';
import { sanitize } from './sanitize.mjs';

function build(paths) {
  const { status, output } = buildAddon({
    ...{
      root: paths.cuda,
      build: paths.build,
      gpu: true,
      tests: true,
      targets: targets(),
      jobs: String(availableParallelism()),
    },
    onStep: (title) => console.log(title),
  });
  if (status !== 0) console.log(output.slice(-8000));
  return status === 0;
}

/** The cases of one op. */
async function conformanceOf(op) {
  const actual = createCudaBackend();
  const reference = createReferenceBackend();
  const bench = { reference, actual, tolerance: defaultTolerance(actual.info.compute), another: async () => createCudaBackend() };
  let [passed, failed] = [0, 0];
  for (const { title, run } of conformanceCases().filter((test) => test.op === op)) {
    try {
      await run(bench);
      passed += 1;
    } catch (error) {
      failed += 1;
      console.log(`failed: ${op}: ${title}: ${error instanceof Error ? error.message : String(error)}`);
      await actual.finish().catch(() => {});
    }
  }
  console.log(`${passed} passed, ${failed} failed`);
  await actual.dispose();
  return failed === 0;
}

/** Every op in a process of its own: after an error of the device a process can do nothing more with it. */
async function conformance(paths) {
  const backend = createCudaBackend();
  console.log(backend.info.description);
  await backend.dispose();
  const waiting = [...new Set(conformanceCases().map(({ op }) => op))];
  const total = { passed: 0, failed: 0 };
  const work = async () => {
    for (let op = waiting.shift(); op !== undefined; op = waiting.shift()) {
      const command = [paths.check, '--inside', `conformance:${op}`];
      const { stdout, stderr } = await promisify(execFile)(process.execPath, command, { maxBuffer: 1 << 26 }).catch(
        (error) => error,
      );
      const [, passed, failed] = /(\d+) passed, (\d+) failed\n$/.exec(stdout) ?? [];
      if (failed === undefined) console.log(`failed: ${op}: the process ended early: ${stdout}${stderr}`.trimEnd());
      else process.stdout.write(stdout.replace(/[^\n]*\n$/, ''));
      total.passed += Number(passed ?? 0);
      total.failed += Number(failed ?? 1);
    }
  };
  await Promise.all(Array.from({ length: Math.min(8, availableParallelism()) }, work));
  console.log(`${total.passed} passed, ${total.failed} failed, 0 skipped`);
  return total.failed === 0;
}

/**
 * Runs one of them.
 * @param before what an unfinished run of it left
 * @returns exit status
 */
export async function runInside(name, paths, before) {
  const [tool, part] = name.split('-');
  if (tool === 'memcheck' || tool === 'racecheck') return sanitize(tool, part, paths, before);
  return (await passes(name, paths)) ? 0 : 1;
}

function passes(name, paths) {
  if (name === 'machine') return machine();
  if (name === 'build') return build(paths);
  if (name.startsWith('conformance:')) return conformanceOf(name.slice('conformance:'.length));
  return conformance(paths);
}
