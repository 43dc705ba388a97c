// npm test: installs and builds what is missing, then runs all the fast tests and the native ones. Arguments go to vitest.
// npm run test:slow: the slow tests instead (--slow).
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { formatCounts, writeCounts } from './counts.mjs';
import { attempt, build, cacheFolder, install, pnpmArguments, root } from './prepare.mjs';

const slow = process.argv.includes('--slow');
const chosen = process.argv.slice(2).filter((argument) => argument !== '--slow');

install();
build();
const vitest = runVitest();
const native = slow || chosen.length > 0 ? { failed: 0 } : runNative();
console.log(`\n${slow ? 'Slow tests' : 'Tests'}: ${formatCounts(vitest)}`);
if (native.passed !== undefined) console.log(`Native tests: ${formatCounts(native)}`);
process.exit(vitest.failed + native.failed > 0 ? 1 : 0);

/** Counts of the vitest tests; a run that breaks off counts as one failure. */
function runVitest() {
  const report = join(cacheFolder, 'vitest.json');
  mkdirSync(cacheFolder, { recursive: true });
  rmSync(report, { force: true });
  const status = attempt(
    slow ? 'Slow tests' : 'Tests',
    process.execPath,
    [
      ...[join(root, 'node_modules/vitest/vitest.mjs'), 'run', ...chosen],
      ...['--reporter=default', '--reporter=json', `--outputFile.json=${report}`],
    ],
    slow ? { KVSIFT_SLOW_TESTS: '1' } : {},
  );
  const counts = { passed: 0, failed: 0, skipped: 0 };
  if (existsSync(report)) {
    const found = JSON.parse(readFileSync(report, 'utf8'));
    counts.passed = found.numPassedTests;
    counts.failed = found.numFailedTests;
    counts.skipped = found.numPendingTests + found.numTodoTests;
  }
  if (status !== 0 && counts.failed === 0) counts.failed = 1;
  return writeCounts(slow ? 'slow' : 'fast', counts);
}

/** The C++ tests, one for each native package that has some. */
function runNative() {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  for (const folder of ['native/cpu', 'native/cuda']) {
    const manifest = join(root, folder, 'package.json');
    if (!existsSync(manifest) || JSON.parse(readFileSync(manifest, 'utf8')).scripts['test:native'] === undefined) continue;
    const status = attempt(`Native tests of ${folder}`, 'npx', pnpmArguments('--dir', folder, 'run', 'test:native'));
    counts[status === 0 ? 'passed' : 'failed'] += 1;
  }
  return writeCounts('native', counts);
}
