#!/usr/bin/env node
// Writes packages/policies: a registry of every policy package. With --check it writes nothing and fails where the catalogue is out of date.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const target = join(root, 'packages/policies');
const packages = readdirSync(join(root, 'packages'))
  .filter(
    (name) => name.startsWith('policy-') && name !== 'policy-testkit' && existsSync(join(root, 'packages', name, 'package.json')),
  )
  .sort();
const entries = packages.flatMap((folder) => {
  const source = readdirSync(join(root, 'packages', folder, 'src'))
    .filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts'))
    .sort()
    .map((file) => readFileSync(join(root, 'packages', folder, 'src', file), 'utf8'))
    .join('\n');
  const factories = [...source.matchAll(/export const (\w+) = definePolicy\(/g)].map(([, name]) => name);
  const presets = [...source.matchAll(/export const (\w+): readonly Preset\[\] =/g)].map(([, name]) => name);
  return factories.length + presets.length > 0 ? [{ folder, factories, presets }] : [];
});
const lines = [
  '// Written by tools/policies/catalogue.mjs; run it after adding a policy package.',
  ...entries.map(
    ({ folder, factories, presets }) => `import { ${[...factories, ...presets].sort().join(', ')} } from '@kvsift/${folder}';`,
  ),
  "import { createRegistry, type AnyPolicyFactory, type PolicyRegistry, type Preset } from '@kvsift/policy';",
  '',
  "export { policyOf, registryFor, withAbsoluteSource } from './external.js';",
  '',
  '/** Every policy of kvsift: what `createRegistry` takes. */',
  `export const policies: readonly AnyPolicyFactory[] = [${entries.flatMap(({ factories }) => factories).join(', ')}];`,
  '',
  '/** Named expressions of the policy packages. */',
  `export const presets: readonly Preset[] = [${entries.flatMap(({ presets: own }) => own.map((name) => `...${name}`)).join(', ')}];`,
  '',
  '/** A registry of all policies, optionally with further ones. */',
  'export function allPolicies(further: readonly AnyPolicyFactory[] = []): PolicyRegistry {',
  '  return createRegistry([...policies, ...further], presets);',
  '}',
  '',
];
const manifestPath = join(target, 'package.json');
const manifest = JSON.parse(readFileSync(manifestPath, 'utf8'));
manifest.dependencies = Object.fromEntries(
  ['@kvsift/policy', '@kvsift/tensor', ...entries.map(({ folder }) => `@kvsift/${folder}`)]
    .sort()
    .map((name) => [name, 'workspace:*']),
);
const biome = join(root, 'node_modules/.bin/biome');
const source = execFileSync(biome, ['check', '--write', '--stdin-file-path=catalogue.ts'], {
  input: lines.join('\n'),
  cwd: root,
  encoding: 'utf8',
});
const files = { 'package.json': `${JSON.stringify(manifest, null, 2)}\n`, 'src/index.ts': source };
const stale = Object.entries(files).filter(([path, text]) => readFileSync(join(target, path), 'utf8') !== text);
if (process.argv.includes('--check')) {
  if (stale.length > 0) {
    console.error(
      `packages/policies is out of date (${stale.map(([path]) => path).join(', ')}): run node tools/policies/catalogue.mjs`,
    );
    process.exit(1);
  }
} else {
  for (const [path, text] of stale) writeFileSync(join(target, path), text);
  console.log(`${entries.flatMap(({ factories }) => factories).length} policies in packages/policies`);
}
