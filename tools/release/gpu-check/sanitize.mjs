// Stages of ./gpu-check that run the tests of the kernels under compute-sanitizer. How long they take depends on the GPU, so they end by themselves within a
// stage's time and say what is left; the next run goes on there.
import { spawn } from 'node:child_process';
import { findSanitizer } from './machine.mjs';

/** After this long no further test begins, and then whatever still runs is ended: a stage has 480 s. */
const seconds = { begin: 300, end: 440 };
/** Exit status of a stage that has to be started again. */
export const unfinished = 3;

/** Names behind a word, one a line. */
const named = (word, output) => [...new Set([...output.matchAll(new RegExp(`^${word}: (.*)$`, 'gm'))].map(([, name]) => name))];

/** What an unfinished run of a stage leaves to the next one, from its output. */
export const remainder = (output) => ({ passed: named('passed', output), tooLong: named('too long', output) });

/** Runs a command for so long at most, in a group of processes that ends as a whole, also when this process is told to end. */
function watched(program, args) {
  return new Promise((resolve) => {
    let output = '';
    let late = false;
    const child = spawn(program, args, { detached: true, stdio: ['ignore', 'pipe', 'inherit'] });
    const end = () => {
      try {
        process.kill(-child.pid, 'SIGKILL');
      } catch {
        // It has ended meanwhile.
      }
    };
    const timer = setTimeout(() => {
      late = true;
      end();
    }, seconds.end * 1000);
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
      process.once(signal, () => {
        end();
        process.exit(1);
      });
    }
    child.stdout.on('data', (piece) => {
      output += piece;
      process.stdout.write(piece);
    });
    child.on('error', () => resolve({ status: 1, late, output }));
    child.on('close', (status) => {
      clearTimeout(timer);
      resolve({ status, late, output });
    });
  });
}

/**
 * Tests of the kernels on the GPU, those of attention or the others, watched by a tool of compute-sanitizer.
 * @param before what `remainder` made of the last run
 * @returns exit status: 0, 1, or `unfinished`
 */
export async function sanitize(tool, part, paths, before = { passed: [], tooLong: [] }) {
  const sanitizer = findSanitizer();
  if (sanitizer === undefined) {
    console.log('not checked: compute-sanitizer is not on this machine (it comes with the CUDA toolkit)');
    return 0;
  }
  // One of the tests asks the driver for more memory than there is.
  const own = tool === 'memcheck' ? ['--report-api-errors', 'no'] : [];
  const { status, late, output } = await watched(sanitizer, [
    ...['--tool', tool, '--error-exitcode', '9', ...own, paths.tests],
    ...['--device', part === 'others' ? '!attention' : part, '--seconds', String(seconds.begin)],
    ...[...before.passed, ...before.tooLong].flatMap((name) => ['--without', name]),
  ]);
  const { passed } = remainder(output);
  // Ended from here it leaves no status: what it had found it has printed, each line behind such a mark.
  const found = output.split('\n').some((line) => line.startsWith('=========') && !/COMPUTE-SANITIZER|^=+\s*$/.test(line));
  if (late ? found : status !== 0) {
    console.log(`${tool} found errors, or tests failed`);
    return 1;
  }
  // A test that alone takes the whole time would never let the next run get further.
  const cut = late ? named('begins', output).filter((name) => !passed.includes(name)) : [];
  const tooLong = [...before.tooLong, ...cut.filter(() => passed.length === 0)];
  // All of them at the end, which is what the result keeps of a long output.
  for (const name of [...before.passed, ...passed]) console.log(`passed: ${name}`);
  for (const name of tooLong) console.log(`too long: ${name}`);
  const left = late || output.includes('\nleft out: ');
  const done = before.passed.length + passed.length;
  if (!left && tooLong.length === 0) {
    console.log(`${done} tests passed without an error`);
    return 0;
  }
  const rest = left ? 'others are left, start it again to go on' : 'nothing else is left';
  console.log(`${done} tests passed without an error; ${rest}; longer than ${seconds.end} s alone: ${tooLong.length}`);
  return unfinished;
}
