// npm start: installs and builds what is missing, then runs the main job on the embedded model.
import { join } from 'node:path';
import { build, install, root, run } from './prepare.mjs';

install();
build();
run('kvsift demo', process.execPath, [join(root, 'apps/runner/dist/cli.js'), 'demo', ...process.argv.slice(2)]);
