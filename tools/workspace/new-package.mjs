#!/usr/bin/env node
// Creates a uniform library package: node tools/workspace/new-package.mjs packages/name "One sentence." [@kvsift/dep ...]
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const [folder, description, ...dependencies] = process.argv.slice(2);
if (!folder || !description) {
  console.error('usage: node tools/workspace/new-package.mjs <folder> "<one sentence>" [@kvsift/dependency ...]');
  process.exit(2);
}
if (existsSync(join(root, folder, 'package.json'))) {
  console.error(`${folder} is a package already`);
  process.exit(2);
}
const name = `@kvsift/${folder.startsWith('native/') ? 'backend-' : ''}${basename(folder)}`;
const manifest = {
  name,
  version: '0.0.0',
  description,
  license: 'MIT',
  repository: { type: 'git', url: 'git+https://github.com/kvsift/kvsift.git', directory: folder },
  type: 'module',
  sideEffects: false,
  engines: { node: '>=20.17' },
  exports: { '.': { types: './dist/index.d.ts', default: './dist/index.js' }, './package.json': './package.json' },
  files: ['dist', '!dist/**/*.test.*', '!dist/*.tsbuildinfo'],
  scripts: { build: 'tsup', test: `pnpm -w exec vitest run ${folder}/`, typecheck: 'tsc --build' },
  ...(dependencies.length > 0 && { dependencies: Object.fromEntries(dependencies.sort().map((d) => [d, 'workspace:*'])) }),
  publishConfig: { access: 'public', provenance: true },
};
const files = {
  'package.json': `${JSON.stringify(manifest, null, 2)}\n`,
  'tsconfig.json': `${JSON.stringify(
    {
      extends: '@kvsift/presets/tsconfig.json',
      compilerOptions: { rootDir: 'src', outDir: 'dist' },
      include: ['src'],
      references: [],
    },
    null,
    2,
  )}\n`,
  'tsup.config.ts': "import { library } from '@kvsift/presets/tsup';\n\nexport default library();\n",
  'README.md': `# ${name}\n\n${description}\n`,
  'src/index.ts': '',
};
for (const [path, text] of Object.entries(files)) {
  const target = join(root, folder, path);
  mkdirSync(join(target, '..'), { recursive: true });
  if (!existsSync(target)) writeFileSync(target, text);
}
const { packageManager } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
console.log(`created ${name} in ${folder}; next: npx ${packageManager} install && node tools/workspace/sync.mjs`);
