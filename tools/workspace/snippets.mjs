// The TypeScript in READMEs, as a reader would paste it into a folder with the packed packages.
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { filesBelow, root } from './packages.mjs';

/** What needs a model and nothing else of the reader's. */
const runs = /^packages__(policy-|cache__|demo-model__)|^packages__backend-reference__|^native__cpu__/;
/** Those with tables of a model that is not at hand, or written into a test. */
const compilesOnly = /duo-attention|q-filters|policy-testkit/;

/**
 * Compiles every snippet under the strictest settings, declarations of the packages included, and runs those that can be.
 * @param home a folder with a package.json of type module, where the packages are installed
 * @param check `(title, command, arguments, folder)`: runs a command and reports where it fails
 */
export function checkSnippets(home, check) {
  const folder = join(home, 'snippets');
  mkdirSync(folder);
  const names = ['README.md', ...['packages', 'native', 'apps'].flatMap((group) => filesBelow(group, /^README\.md$/))].flatMap(
    (path) =>
      [...readFileSync(join(root, path), 'utf8').matchAll(/^```ts\n(.*?)^```/gms)].map(([, code], index) => {
        const name = `${path.replaceAll('/', '__').replace(/\.md$/, '')}${index || ''}`;
        writeFileSync(join(folder, `${name}.ts`), code);
        return name;
      }),
  );
  // A test of the reader's own policy.
  writeFileSync(join(folder, 'mine.ts'), "export { snapkv as mine } from '@kvsift/policy-snapkv';\n");
  const strict = { strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true, skipLibCheck: false };
  const target = { target: 'es2022', lib: ['es2023', 'esnext.disposable'], module: 'nodenext', moduleDetection: 'force' };
  const found = { types: ['node'], typeRoots: [join(root, 'node_modules/@types')] };
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions: { ...strict, ...target, ...found } }));
  if (!check('snippets of the READMEs', process.execPath, [join(root, 'node_modules/typescript/bin/tsc')], folder)) return;
  symlinkSync(join(home, 'node_modules/@kvsift/demo-model/model'), join(folder, 'model.gguf'));
  for (const name of names.filter((one) => runs.test(one) && !compilesOnly.test(one)))
    check(`snippet of ${name.replaceAll('__', '/')}.md`, process.execPath, [`${name}.js`], folder);
}
