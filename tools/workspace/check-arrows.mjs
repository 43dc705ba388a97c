#!/usr/bin/env node
// Checks the arrows of the architecture: what each package may import, that it declares what it imports, and that no files import in a circle.
import { existsSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { filesBelow, finish, root, workspacePackages } from './packages.mjs';

/** Rank of each package: an import goes to a lower rank, or to the same one where `sideways` says so. First match counts. */
const ranks = [
  { pattern: /^@kvsift\/tensor$/, rank: 0 },
  {
    pattern: /^@kvsift\/(weights|native-addon|backend-reference|backend-testkit|backend-cpu|backend-cuda)$/,
    rank: 1,
    sideways: true,
  },
  { pattern: /^@kvsift\/tokenizer$/, rank: 2 },
  { pattern: /^@kvsift\/cache$/, rank: 2 },
  { pattern: /^@kvsift\/policy$/, rank: 3 },
  { pattern: /^@kvsift\/demo-model$/, rank: 3 },
  { pattern: /^@kvsift\/policy-testkit$/, rank: 4 },
  { pattern: /^@kvsift\/policy-/, rank: 4, sideways: true },
  { pattern: /^@kvsift\/policies$/, rank: 5 },
  { pattern: /^@kvsift\/models$/, rank: 6 },
  { pattern: /^@kvsift\/engine$/, rank: 7 },
  { pattern: /^@kvsift\/eval-text$/, rank: 7 },
  { pattern: /^@kvsift\/eval$/, rank: 8 },
  { pattern: /^@kvsift\/(eval-.*|report)$/, rank: 9, sideways: true },
  { pattern: /^@kvsift\/(verify|verify-scores|tune|calibrate)$/, rank: 10, sideways: true },
  { pattern: /^kvsift$/, rank: 11 },
  { pattern: /^@kvsift\/examples$/, rank: 12 },
];

/** Arrows that the ranks would allow and the architecture does not. */
const forbidden = [
  {
    from: /^@kvsift\/policy($|-)/,
    to: /^@kvsift\/(backend-|tokenizer|models|engine)/,
    why: 'policies never name a backend',
  },
  {
    from: /^@kvsift\/(models|engine)$/,
    to: /^@kvsift\/(policy-|policies|backend-)/,
    why: 'models and engine never name a policy or a backend',
  },
  { from: /^@kvsift\/backend-(?!testkit)/, to: /^@kvsift\/(backend-|weights)/, why: 'backends know only the contract' },
];

const isTest = (path) => /\.test(-d|\.fixture)?\.ts$|\/testing\/|\/tests?\//.test(path);
const imports =
  /(?:^|\n)\s*(?:import|export)\s(?!type\b)(?:[^'"`;]*?\sfrom\s*)?['"]([^'"\n]+)['"]|\bimport\(\s*['"]([^'"\n]+)['"]\s*\)/g;
const typeImports = /(?:^|\n)\s*(?:import|export)\s+type\s[^'"`;]*?\sfrom\s*['"]([^'"\n]+)['"]/g;

const packages = workspacePackages();
const manifests = new Map(packages.map(({ manifest }) => [manifest.name, manifest]));
const findings = [];
const builtin = new Set(builtinModules);

for (const { folder, manifest } of packages) {
  if (folder.startsWith('tools/')) continue;
  const graph = new Map();
  for (const path of filesBelow(folder === 'examples' ? folder : join(folder, 'src'), /\.(ts|mjs)$/)) {
    const text = readFileSync(join(root, path), 'utf8');
    const values = [...text.matchAll(imports)].map((match) => match[1] ?? match[2]);
    const types = [...text.matchAll(typeImports)].map((match) => match[1]);
    for (const name of new Set([...values, ...types].filter((name) => !name.startsWith('.')))) checkPackage(path, manifest, name);
    graph.set(
      path,
      values
        .filter((name) => name.startsWith('.'))
        .map((name) => sourceOf(path, name))
        .filter(Boolean),
    );
  }
  findings.push(...circles(graph));
}
finish('import arrows', findings);

/** Whether this file may import this package. */
function checkPackage(path, manifest, specifier) {
  if (specifier.startsWith('node:') || builtin.has(specifier)) return;
  const name = specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
  const own = { ...manifest.dependencies, ...manifest.peerDependencies, ...manifest.optionalDependencies };
  const declared = isTest(path) ? { ...own, ...manifest.devDependencies } : own;
  const shared = isTest(path) && (name === 'vitest' || name === 'fast-check');
  if (name !== manifest.name && !shared && !(name in declared)) {
    findings.push(
      `${path}: imports ${name}, which ${isTest(path) ? 'package.json' : 'its dependencies'} of ${manifest.name} lack`,
    );
  }
  if (!manifests.has(name) || name === manifest.name || isTest(path)) return;
  const from = ranks.find(({ pattern }) => pattern.test(manifest.name));
  const to = ranks.find(({ pattern }) => pattern.test(name));
  if (from === undefined || to === undefined) {
    findings.push(`${path}: give ${from === undefined ? manifest.name : name} a rank in tools/workspace/check-arrows.mjs`);
  } else if (to.rank > from.rank || (to.rank === from.rank && !(from.sideways && to.sideways))) {
    findings.push(`${path}: ${manifest.name} may not import ${name}`);
  }
  const broken = forbidden.find((rule) => rule.from.test(manifest.name) && rule.to.test(name));
  if (broken !== undefined) findings.push(`${path}: ${manifest.name} may not import ${name}: ${broken.why}`);
}

/** Path of the source file that a relative import names. */
function sourceOf(path, specifier) {
  const target = join(root, dirname(path), specifier);
  const found = [target.replace(/\.js$/, '.ts'), target].find((candidate) => existsSync(candidate));
  return found && relative(root, found);
}

/** Circles of value imports among the files of one package. */
function circles(graph) {
  const state = new Map();
  const found = [];
  const visit = (path, trail) => {
    if (state.get(path) === 'done') return;
    if (state.get(path) === 'open') {
      found.push(`circle: ${[...trail.slice(trail.indexOf(path)), path].join(' -> ')}`);
      return;
    }
    state.set(path, 'open');
    for (const next of graph.get(path) ?? []) visit(next, [...trail, path]);
    state.set(path, 'done');
  };
  for (const path of graph.keys()) visit(path, []);
  return found;
}
