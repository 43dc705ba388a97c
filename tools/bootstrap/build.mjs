// npm run build: installs what is missing, builds what has changed, declarations too. Turbo alone would want a pnpm that is installed.
import { join } from 'node:path';
import { build, install, root, run } from './prepare.mjs';

install();
build();
run('Types and declarations', process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '--build']);
