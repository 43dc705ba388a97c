/** Files of a new policy package besides its package.json and tsconfig.json, by path. */
export function policyFiles({ packageName, name, symbol }) {
  return {
    'src/index.ts': `export { ${symbol} } from './${name}.js';\n`,
    [`src/${name}.ts`]: `import { definePolicy, keepBest, norms, overEntries, resolveBudgets } from '@kvsift/policy';

/** ${name}: say in one sentence what is kept, and cite the paper and its equation. */
export const ${symbol} = definePolicy({
  name: '${name}',
  title: '${name}',
  idea: 'Keep entries whose value is large. Replace these two sentences by the idea of your policy.',
  source: 'name the paper (or use \`paper\` with title, authors, venue and url)',
  parameters: {
    sinks: { kind: 'integer', default: 4, min: 0, unit: 'tokens', description: 'First tokens that are always kept.' },
    window: { kind: 'integer', default: 8, min: 0, unit: 'tokens', description: 'Last tokens that are always kept.' },
  },
  observes: 'values',
  costs: '2 · kvHeads · n · headDim FLOPs, O(kvHeads · n) memory',
  phases: ['prefill', 'decode'],
  deviations: [],
  create: ({ sinks, window }) =>
    keepBest('${name}', {
      protect: { first: sinks, last: window },
      allocate: resolveBudgets,
      start: () => ({
        // What the engine shall hand over besides the cache: { queries: { last: window } }, for example.
        observe: {},
        // Leave out where the score makes sense at prefill only.
        decode: { observe: {} },
        // f32 [kvHeads, length]: higher is kept first. A range of entries at a time: a long layer's values never exist as numbers all at once.
        score: (view) =>
          overEntries(view, (backend, start, end) => norms(backend, backend.kvRead(view.cache, 'values', start, end))),
      }),
    }),
});
`,
    [`src/${name}.test.ts`]: `import { createReferenceBackend } from '@kvsift/backend-reference';
import { conformance, evict, randomInputs } from '@kvsift/policy-testkit';
import { describe, expect, it } from 'vitest';
import { ${symbol} } from './${name}.js';

describe('${symbol}', () => {
  const subject = { definition: ${symbol}.definition, make: () => ${symbol}() };
  for (const { name, run } of conformance(subject, createReferenceBackend)) it(name, run);

  it('keeps the entry with the largest value', async () => {
    const inputs = randomInputs(1);
    const values = inputs.values.map((value, index) => (Math.floor(index / inputs.headDim) % inputs.length === 20 ? 100 * value : value));
    const { kept } = await evict(createReferenceBackend(), ${symbol}(), { ...inputs, values }, { budget: { kind: 'tokens', tokens: 16 } });
    for (const slots of kept) expect(slots).toContain(20);
  });
});
`,
    'README.md': `# ${packageName}

An eviction policy for kvsift.

\`\`\`ts
import { createCpuBackend } from '@kvsift/backend-cpu';
import { load } from '@kvsift/engine';
import { ${symbol} } from '${packageName}';

await using backend = createCpuBackend();
using model = await load('model.gguf', { backend });
for await (const { text } of model.generate('Long text ...', { policy: ${symbol}(), budget: '20%', maxTokens: 100 })) {
  process.stdout.write(text);
}
\`\`\`
`,
  };
}

/** package.json of a policy that lives outside the kvsift repository. */
export function standaloneManifest({ packageName, version }) {
  return {
    name: packageName,
    version: '0.1.0',
    description: 'An eviction policy for kvsift.',
    type: 'module',
    sideEffects: false,
    engines: { node: '>=20.17' },
    exports: { '.': { types: './dist/index.d.ts', default: './dist/index.js' }, './package.json': './package.json' },
    files: ['dist', '!dist/**/*.test.*'],
    scripts: { build: 'tsc', test: 'vitest run --dir src' },
    dependencies: { '@kvsift/policy': version, '@kvsift/tensor': version },
    devDependencies: {
      '@kvsift/backend-reference': version,
      '@kvsift/policy-testkit': version,
      '@types/node': '^20.19.0',
      typescript: '~5.9.3',
      vitest: '^4.1.12',
    },
  };
}

/** tsconfig.json of a policy that lives outside the kvsift repository. */
export const standaloneConfig = {
  compilerOptions: {
    target: 'es2022',
    lib: ['es2023', 'esnext.disposable'],
    module: 'nodenext',
    types: ['node'],
    strict: true,
    noUncheckedIndexedAccess: true,
    exactOptionalPropertyTypes: true,
    declaration: true,
    skipLibCheck: true,
    rootDir: 'src',
    outDir: 'dist',
  },
  include: ['src'],
};
