// Test counts, kept so that .ci/run can end with their sum: node tools/bootstrap/counts.mjs prints it.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cacheFolder } from './prepare.mjs';

const folder = join(cacheFolder, 'counts');

/** "12 passed, 0 failed, 3 skipped" */
export function formatCounts({ passed, failed, skipped }) {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`;
}

/** Remembers the counts of one kind of tests and returns them. */
export function writeCounts(kind, counts) {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${kind}.json`), JSON.stringify(counts));
  return counts;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (process.argv[2] === '--clear') rmSync(folder, { recursive: true, force: true });
  else {
    const kinds = existsSync(folder) ? readdirSync(folder) : [];
    const all = kinds.map((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')));
    const total = (key) => all.reduce((sum, counts) => sum + counts[key], 0);
    console.log(formatCounts({ passed: total('passed'), failed: total('failed'), skipped: total('skipped') }));
  }
}
