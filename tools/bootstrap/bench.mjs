// npm run bench:<name>: installs and builds what is missing, then runs a benchmark of tools/bench. Arguments go to it.
import { join } from 'node:path';
import { build, install, root, run } from './prepare.mjs';

const [name, ...rest] = process.argv.slice(2);
install();
build();
run(`bench:${name}`, process.execPath, [join(root, `tools/bench/dist/${name}.js`), ...rest]);
