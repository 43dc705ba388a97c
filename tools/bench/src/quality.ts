import { spawnSync } from 'node:child_process';
import { readdirSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Manifest, readRun, type StoredRun } from '@kvsift/eval';
import { Command } from 'commander';
import { type LmRow, lmSection } from './quality/lm-section.js';
import { needleSection } from './quality/needle-section.js';
import { runSection } from './quality/run-section.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const settings = join(root, 'docs/benchmarks/quality');

const command = new Command('bench:quality')
  .description(
    'Runs every file of docs/benchmarks/quality and writes docs/benchmarks/quality.md. Stopped, it goes on where it was.',
  )
  .option('--runs <folder>', 'where results are kept', join(root, '.kvsift/quality'))
  .option('--only <names...>', 'files to run, without .yaml, and lm')
  .option('--mix', 'go on with results that were made by other code')
  .option('--text-only', 'run nothing, write the page from what is there')
  .parse();
const options = command.opts<{ runs: string; only?: readonly string[]; mix?: boolean; textOnly?: boolean }>();
const wanted = (name: string) => options.only === undefined || options.only.includes(name);

/** Runs kvsift as a user would. */
function kvsift(args: readonly string[], print: boolean): string {
  const stdio = ['ignore', print ? 'inherit' : 'pipe', 'inherit'] as const;
  const { status, stdout } = spawnSync(process.execPath, [join(root, 'apps/runner/dist/cli.js'), ...args], {
    cwd: root,
    stdio: [...stdio],
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
  });
  // 1: samples failed; their number is in the table.
  if (status !== 0 && status !== 1) process.exit(status ?? 1);
  return stdout ?? '';
}

const names = readdirSync(settings)
  .filter((name) => name.endsWith('.yaml'))
  .map((name) => basename(name, '.yaml'))
  .sort();
const sections: string[] = [];
for (const name of names) {
  const folder = join(options.runs, name);
  if (wanted(name) && !options.textOnly) {
    kvsift(['eval', 'run', join(settings, `${name}.yaml`), '--out', folder, ...(options.mix ? ['--mix'] : [])], true);
  }
  const run = await readRun(folder).catch(() => undefined);
  if (run === undefined || run.results.length === 0) continue;
  sections.push(`## \`quality/${name}.yaml\``, circumstances(run), runSection(run.results), ...needleSection(run.results));
}

const smollm2 = '../shared/models/smollm2-135m-instruct-q4_1.gguf';
const haystack = '../shared/data/haystack';
const texts = readdirSync(join(root, haystack))
  .filter((name) => name.endsWith('.txt'))
  .sort()
  .map((name) => join(haystack, name));
const expressions = ['snapkv', 'adakv(snapkv)', 'h2o', 'tova', 'keydiff', 'expected-attention', 'streaming-llm', 'random'];
const everyStep = [0.9, 0.98, 0.99].map((keep) => `every-step(knorm(), keepRatio=${keep}, skipLayers=[0,1])`);
const protocols = [
  {
    name: 'lm-continuation',
    title: 'SmolLM2-135M-Instruct: 1,024 tokens read and evicted, the next 256 scored, 16 times',
    args: [
      '--chunk-size',
      '1280',
      '--prefill',
      '1024',
      '--chunks',
      '16',
      '--budgets',
      '50%',
      '20%',
      '10%',
      '--policies',
      ...expressions,
    ],
  },
  {
    name: 'lm-every-step',
    title: 'SmolLM2-135M-Instruct: every token compresses every layer but two (l2compress), 8 chunks',
    args: ['--chunk-size', '384', '--prefill', '0', '--chunks', '8', '--budgets', '100%', '--policies', ...everyStep],
  },
];
for (const { name, title, args } of wanted('lm') ? protocols : []) {
  const file = join(options.runs, `${name}.jsonl`);
  const rows = JSON.parse(kvsift(['lm', smollm2, ...texts, ...args, '--out', file, '--json'], false)) as LmRow[];
  sections.push(lmSection(title, rows));
}

const page = join(root, 'docs/benchmarks/quality.md');
writeFileSync(
  page,
  `${[
    '# Quality',
    'Written by `npm run bench:quality`, which runs the files in [quality/](quality/) and goes on where it was stopped. Do not edit by hand.',
    'Scores are means over n samples from 0 to 100; in brackets the 95 % bootstrap interval of the paired difference from the full cache; **~** marks differences within noise.',
    ...sections,
  ].join('\n\n')}\n`,
);
console.error(`wrote ${page}`);

/** What the numbers depend on, once per run. */
function circumstances({ manifests, results }: StoredRun): string {
  const used = new Set(results.map(({ manifest }) => manifest));
  const lines = [...manifests].filter(([hash]) => used.has(hash)).map(([hash, manifest]) => describe(hash, manifest));
  return lines.join('\n');
}

function describe(hash: string, { commit, machine, model, suite, question, seed }: Manifest): string {
  const { modelFingerprint, backend, compute, threads, kvType } = model;
  return `- manifest \`${hash}\`: ${suite.name}, weights \`${modelFingerprint}\`, ${backend} backend (${compute}, ${threads} threads, cache ${kvType}), question ${question}, seed ${seed}, commit ${commit}, ${machine.cpu}`;
}
