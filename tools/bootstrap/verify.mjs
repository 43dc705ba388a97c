// npm run verify -- <suite> <folder> [--backend reference|cpu|cuda] [--models DIR] [--json]: checks a folder of goldens.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { build, install, root } from './prepare.mjs';

install();
build();
const { status } = spawnSync(process.execPath, [join(root, 'apps/runner/dist/cli.js'), 'verify', ...process.argv.slice(2)], {
  stdio: 'inherit',
  cwd: process.env.INIT_CWD ?? root,
});
process.exit(status ?? 1);
