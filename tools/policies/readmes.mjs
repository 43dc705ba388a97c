#!/usr/bin/env node
// Writes the README of every policy package from its definition. With --check it writes nothing and fails where one is out of date. Needs a build.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const check = process.argv.includes('--check');
const stale = [];
/** Policies that an example wraps, by parameter. */
const inner = {
  rerotate: { policy: 'knorm' },
  'per-chunk': { policy: 'knorm' },
  'per-layer': { policy: 'knorm' },
  decoding: { policy: 'tova' },
  merging: { policy: 'knorm' },
  sequence: { first: 'knorm', second: 'keydiff' },
  threshold: { policy: 'knorm' },
};
/** What else an example cannot do without. */
const settings = {
  'duo-attention': "table: 'smollm2-135m-instruct'",
  'per-layer': 'weights: model.decoder.config.layers.map((_, layer) => layer + 1)',
  'q-filters': "filters: 'smollm2-135m-instruct'",
  threshold: 'threshold: -20',
};

/** Those whose parameters alone say what is kept. */
const withoutBudget = ['duo-attention', 'full', 'minicache', 'threshold'];

for (const folder of readdirSync(join(root, 'packages')).sort()) {
  if (!folder.startsWith('policy-') || folder === 'policy-testkit') continue;
  const module = await import(pathToFileURL(join(root, 'packages', folder, 'dist/index.js')).href);
  const factories = Object.entries(module).filter(([, value]) => typeof value === 'function' && value.definition !== undefined);
  if (factories.length === 0) continue;
  const presets = Object.values(module)
    .filter((value) => Array.isArray(value) && value[0]?.expression !== undefined)
    .flat();
  const path = join(root, 'packages', folder, 'README.md');
  const text = readme(folder, factories, presets);
  if (readFileSync(path, 'utf8') === text) continue;
  if (check) stale.push(path);
  else writeFileSync(path, text);
}
if (stale.length > 0) {
  console.error(`out of date, run node tools/policies/readmes.mjs after a build: ${stale.join(', ')}`);
  process.exit(1);
}

function readme(folder, factories, presets) {
  const { description } = JSON.parse(readFileSync(join(root, 'packages', folder, 'package.json'), 'utf8'));
  const [[symbol, { definition: first }]] = factories;
  const wrapped = Object.entries(inner[first.name] ?? {});
  const given = [...wrapped.map(([parameter, policy]) => `${parameter}: ${policy}()`), settings[first.name] ?? []].flat();
  const call = given.length === 0 ? `${symbol}()` : `${symbol}({ ${given.join(', ')} })`;
  const budget = withoutBudget.includes(first.name) ? '' : ", budget: '20%'";
  const names = wrapped.map(([, policy]) => policy).sort();
  const imports = names.map((policy) => `import { ${policy} } from '@kvsift/policy-${policy}';\n`).join('');
  return `# @kvsift/${folder}

${description}

\`\`\`ts
import { createCpuBackend } from '@kvsift/backend-cpu';
import { load } from '@kvsift/engine';
${imports}import { ${symbol} } from '@kvsift/${folder}';

await using backend = createCpuBackend();
using model = await load('model.gguf', { backend });
for await (const { text } of model.generate('Long text ...', { policy: ${call}${budget}, maxTokens: 100 })) {
  process.stdout.write(text);
}
\`\`\`

${factories.map(([name, { definition }]) => section(name, definition)).join('\n')}${
  presets.length > 0
    ? `\n## Presets\n\n| name | expression | |\n|---|---|---|\n${presets.map((preset) => `| \`${preset.name}\` | \`${preset.expression}\` | ${preset.description} |`).join('\n')}\n`
    : ''
}
Errors: \`policy_invalid\` for parameters that do not fit, \`budget_invalid\` for a budget below what is protected.
`;
}

function section(symbol, definition) {
  const { paper, source } = definition;
  const from =
    paper === undefined ? `Source: ${source ?? ''}.` : `[${paper.title}](${paper.url}), ${paper.authors}, ${paper.venue}.`;
  const profiles = Object.entries(definition.profiles ?? {});
  const deviations = definition.deviations ?? [];
  return [
    `## \`${definition.name}\` (${definition.title}, \`${symbol}\`)`,
    `${definition.idea} ${from}`,
    parameters(definition.parameters),
    `Observes: ${definition.observes}. Costs: ${definition.costs}. Evicts at: ${definition.phases.join(', ')}.`,
    ...(profiles.length > 0
      ? [`Profiles: ${profiles.map(([name, { description }]) => `\`${name}\`: ${description}`).join(' ')}`]
      : []),
    ...(deviations.length > 0 ? [`Deviations:\n\n${deviations.map((line) => `- ${line}`).join('\n')}`] : []),
    '',
  ]
    .join('\n\n')
    .trimEnd()
    .concat('\n');
}

function parameters(schema) {
  const rows = Object.entries(schema).map(([name, item]) => {
    const value =
      typeof item.default === 'function'
        ? `\`${item.default().name}\``
        : item.default === undefined
          ? 'needed'
          : `\`${JSON.stringify(item.default)}\``;
    const choices = item.choices === undefined ? '' : ` (${item.choices.join(', ')})`;
    return `| \`${name}\` | ${value} | ${item.unit ?? ''} | ${item.description}${choices} |`;
  });
  return rows.length === 0 ? 'No parameters.' : `| parameter | default | unit | effect |\n|---|---|---|---|\n${rows.join('\n')}`;
}
