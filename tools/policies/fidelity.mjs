#!/usr/bin/env node
// Writes docs/fidelity.md: golden cases passed per policy and backend, and where defaults differ from the references.
// node tools/policies/fidelity.mjs FOLDER [reference] [cpu]   (needs a build)
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const [folder, ...backends] = process.argv.slice(2);
if (folder === undefined) {
  console.error('usage: node tools/policies/fidelity.mjs FOLDER [reference] [cpu]');
  process.exit(2);
}
const load = (path) => import(pathToFileURL(join(root, path)).href);
const { verify } = await load('packages/verify/dist/index.js');
const { policies } = await load('packages/policies/dist/index.js');
const makers = {
  // Whole-model cases are skipped on the reference: they would take hours.
  reference: async () => (await load('packages/backend-reference/dist/index.js')).createReferenceBackend(),
  cpu: async () => (await load('native/cpu/dist/index.js')).createCpuBackend({ compute: 'f32' }),
};
const chosen = backends.length > 0 ? backends : ['reference', 'cpu'];
/** Policy → backend → [passed, all]. */
const table = new Map();
const failures = [];
for (const backend of chosen) {
  const count = (name, passed) => {
    const policy = policyOf(name);
    const row = table.get(policy) ?? new Map();
    const [before = 0, all = 0] = row.get(backend) ?? [];
    row.set(backend, [before + (passed ? 1 : 0), all + 1]);
    table.set(policy, row);
  };
  await verify('policies', resolve(folder), {
    backend: makers[backend],
    onPass: (name) => count(name, true),
    onFailure: (line) => {
      count(line.slice(0, line.indexOf(':')), false);
      failures.push(`${backend}: ${line}`);
    },
    onSkip: (line) => console.error(`skipped: ${line}`),
  });
}

/** Families and presses of the goldens by the policy that they check; the longest beginning counts. */
function policyOf(name) {
  const rest = name
    .replace(/^kvpress-tensors \d+ /, '')
    .replace(/^tokens-\d+ /, '')
    .replace(/^generation \d+ /, '')
    .split(' ')[0];
  const known = {
    adakv: 'adakv',
    'block-keydiff': 'keydiff',
    'chunk-knorm': 'per-chunk',
    chunkkv: 'chunkkv',
    criticaladakv: 'critical-adakv',
    criticalkv: 'criticalkv',
    'expected-attention': 'expected-attention',
    'finch-raw': 'finch',
    full: 'full',
    kvzip: 'kvzip',
    l2norm: 'knorm',
    lagkv: 'lagkv',
    'noncausal-columns': 'noncausal',
    'pyramid-budgets': 'pyramidkv',
    'ragged-decode': 'flattened layout',
    'rerotate-knorm': 'rerotate',
    snapkv: 'snapkv',
    streamingllm: 'streaming-llm',
  };
  const found = Object.keys(known)
    .filter((start) => rest.startsWith(start))
    .sort((a, b) => b.length - a.length)[0];
  return found === undefined ? rest : known[found];
}

const rows = [...table].sort(([a], [b]) => (a < b ? -1 : 1));
const cell = ([passed, all] = []) => (all === undefined ? '–' : passed === all ? `${all}` : `**${passed} of ${all}**`);
const totals = chosen.map((backend) =>
  rows.reduce(([p, a], [, row]) => [p + (row.get(backend)?.[0] ?? 0), a + (row.get(backend)?.[1] ?? 0)], [0, 0]),
);
const deviations = policies.flatMap(({ definition }) =>
  (definition.deviations ?? []).map((line) => `| \`${definition.name}\` | ${line} |`),
);
const unchecked = policies.map(({ definition }) => definition.name).filter((name) => !table.has(name));
writeFileSync(
  join(root, 'docs/fidelity.md'),
  `# Fidelity of the policies

Written by \`tools/policies/fidelity.mjs\` from a run of the goldens (\`npm run verify -- policies FOLDER\`): cases passed per policy, computed by
other people's code; a single number means that all cases passed.

| policy | ${chosen.join(' | ')} |
|---|${chosen.map(() => '---').join('|')}|
${rows.map(([policy, row]) => `| ${policy} | ${chosen.map((backend) => cell(row.get(backend))).join(' | ')} |`).join('\n')}
| **all** | ${totals.map(cell).join(' | ')} |

No golden exists for: ${unchecked.join(', ')}. These are held to the invariants of \`@kvsift/policy-testkit\` and, where section 35 of the specification
has vectors, to those.

## Where defaults differ from the references

| policy | |
|---|---|
${deviations.join('\n')}
`,
);
for (const line of failures) console.log(line);
console.log(`docs/fidelity.md: ${chosen.map((backend, index) => `${backend} ${totals[index].join(' of ')}`).join(', ')}`);
process.exit(failures.length > 0 ? 1 : 0);
