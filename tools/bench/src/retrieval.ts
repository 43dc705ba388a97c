import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createCpuBackend } from '@kvsift/backend-cpu';
import { demoModelPath } from '@kvsift/demo-model';
import { type LanguageModel, load, prefillMany } from '@kvsift/engine';
import { allPolicies } from '@kvsift/policies';
import { Command } from 'commander';
import { scoreAnswer } from './quality/answer-score.js';
import { demoFacts, essayFacts, type PlantedFact, partsOf, type Setting } from './quality/planted-fact.js';
import { appendRow, keyOf, type RetrievalRow, readRows } from './quality/retrieval-rows.js';
import { retrievalSection } from './quality/retrieval-section.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));
/** Parameters of kvpress, so that the pairs compare. */
const snap = 'snapkv(window=64)';
const policies = [
  snap,
  `adakv(${snap}, form=safeguard)`,
  `pyramidkv(${snap}, form=kvpress)`,
  `chunkkv(${snap}, whole=true)`,
  `criticalkv(${snap})`,
  'tova(protectNewest=true)',
  'expected-attention',
  'keydiff',
  'knorm',
  'lagkv',
  'cur',
  'streaming-llm',
  'random',
  'h2o',
];
const budgets = ['50%', '20%', '10%'];
const settings: readonly Setting[] = ['aware', 'agnostic'];

const command = new Command('bench:retrieval')
  .description(
    'Asks for facts planted in long texts, under every policy and budget, and writes docs/benchmarks/quality-retrieval.md. Stopped, it goes on where it was.',
  )
  .option('--samples <n>', 'facts per length', '50')
  .option('--lengths <tokens...>', 'lengths of the text', ['1024', '2048'])
  .option('--models <names...>', 'smollm2, demo', ['demo', 'smollm2'])
  .option('--rows <file>', 'where answers are kept, one line per fact', join(root, 'docs/benchmarks/quality/retrieval.jsonl'))
  .option('--prompts <file>', 'write the prompts for tools/bench/python/retrieval_kvpress.py, run nothing')
  .option('--text-only', 'run nothing, write the page from what is there')
  .parse();
const options = command.opts<{
  samples: string;
  lengths: readonly string[];
  models: readonly string[];
  rows: string;
  prompts?: string;
  textOnly?: boolean;
}>();
const samples = Number(options.samples);
const lengths = options.lengths.map(Number);
const names = { smollm2: 'SmolLM2-135M-Instruct', demo: 'embedded model' } as const;
const paths = {
  smollm2: join(root, '../shared/models/smollm2-135m-instruct-q4_1.gguf'),
  demo: demoModelPath(),
} as const;

if (!options.textOnly) {
  await using backend = createCpuBackend();
  for (const name of options.models as readonly (keyof typeof names)[]) {
    using model = await load(paths[name], { backend, contextLength: Math.max(...lengths) + 256 });
    const { tokenizer } = model;
    if (tokenizer === undefined) throw new Error(`${name} has no tokenizer`);
    const make = name === 'demo' ? demoFacts(tokenizer) : essayFacts(tokenizer, join(root, '../shared/data/haystack'));
    // Sample by sample over all lengths and settings: stopped at any time, every table has the same n.
    const facts = Array.from({ length: samples }, (_, index) => index).flatMap((index) =>
      lengths.map((length) => make(spread(index, samples), samples, length)),
    );
    if (options.prompts !== undefined) {
      if (name === 'smollm2') writePrompts(options.prompts, facts);
      continue;
    }
    const done = new Set(readRows(options.rows).map(keyOf));
    for (const fact of facts) {
      for (const setting of settings) {
        const row = { source: 'kvsift', model: names[name], length: fact.length, setting, sample: fact.id } as const;
        if (done.has(keyOf(row))) continue;
        const started = performance.now();
        appendRow(options.rows, { ...row, scores: await scoreAll(model, fact, setting) });
        console.log(`${keyOf(row)}: ${((performance.now() - started) / 1000).toFixed(0)} s`);
      }
    }
  }
}
if (options.prompts === undefined) writePage(readRows(options.rows));

/** Depths in an order that covers the text evenly from the first few samples on. */
function spread(index: number, of: number): number {
  return (index * 19) % of;
}

async function scoreAll(model: LanguageModel, fact: PlantedFact, setting: Setting): Promise<RetrievalRow['scores']> {
  const registry = allPolicies();
  const { compressed, fed, answer } = partsOf(fact, setting);
  const cases = [
    { key: 'full@100%', session: model.session({ layout: 'flattened' }) },
    ...policies.flatMap((expression) =>
      budgets.map((budget) => ({
        key: `${expression}@${budget}`,
        session: model.session({
          policy: registry.parse(expression),
          budget,
          layout: 'flattened',
          sequence: Number(fact.id.split('-')[1]),
        }),
      })),
    ),
  ];
  try {
    await prefillMany(
      model.decoder,
      cases.map(({ session }) => session),
      compressed,
    );
    const scores: [string, RetrievalRow['scores'][string]][] = [];
    for (const { key, session } of cases) {
      scores.push([
        key,
        (await scoreAnswer(model, session, fed, answer)).map(rounded) as unknown as RetrievalRow['scores'][string],
      ]);
      session.dispose();
    }
    return Object.fromEntries(scores);
  } finally {
    for (const { session } of cases) session.dispose();
  }
}

function rounded(value: number): number {
  return Number(value.toFixed(4));
}

function writePrompts(path: string, facts: readonly PlantedFact[]): void {
  const lines = facts.flatMap((fact) =>
    settings.map((setting) => {
      const row = { source: 'kvpress', model: names.smollm2, length: fact.length, setting, sample: fact.id };
      return JSON.stringify({ ...row, ...partsOf(fact, setting) });
    }),
  );
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${lines.join('\n')}\n`);
}

function writePage(rows: readonly RetrievalRow[]): void {
  const page = join(root, 'docs/benchmarks/quality-retrieval.md');
  writeFileSync(
    page,
    `# Retrieval of planted facts

Written by \`npm run bench:retrieval\` from the answers in [quality/retrieval.jsonl](quality/retrieval.jsonl); do not edit by hand. ${cpus()[0]?.model ?? 'unknown CPU'}, cpu
backend (int8), cache f16. kvpress 0.5.5 reads the same token ids with the same weights in float32 (\`tools/bench/python/retrieval_kvpress.py\`).

Each cell: share of digits right in percent with its 95 % bootstrap interval, answers all of whose digits are right in percent, mean log-probability of
an answer token. A digit is right where the model gives it the most probability behind the right digits before it, so greedy decoding finds
exactly the answers that are all right. Third columns: ours less kvpress on the same samples, in points of digits; **behind** where the whole interval is.
*aware*: the question is compressed with the text; *agnostic*: it comes after the eviction.

${retrievalSection(rows, policies, budgets)}
`,
  );
  console.log(`wrote ${page}`);
}
