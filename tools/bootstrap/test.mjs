// npm test: installs and builds what is missing, then runs all the fast tests. Arguments go to vitest.
import { install, root, run } from './prepare.mjs';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

install();
if (existsSync(join(root, 'native/cpu/package.json'))) {
  run('Building the native backend', 'npx', ['turbo', 'run', 'build', '--filter=@kvsift/backend-cpu', '--output-logs=errors-only']);
}
run('Tests', 'npx', ['vitest', 'run', ...process.argv.slice(2)]);
