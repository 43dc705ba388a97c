import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createCpuBackend } from '@kvsift/backend-cpu';
import { type EvictionCost, type LanguageModel, load, type Session } from '@kvsift/engine';
import { allPolicies } from '@kvsift/policies';
import type { EvictionPolicy } from '@kvsift/policy';
import { Command } from 'commander';
import { median } from './median.js';
import { promptIds } from './peers/protocol.js';
import { type CostRow, costPage } from './policies/cost-page.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const command = new Command('bench:policies')
  .description(
    'Measures what evicting costs and gives: share of the prefill time, extra memory, bytes left, time of a step, for each policy.',
  )
  .option('--json', 'print JSON lines')
  .option('--model <path>', 'model', join(root, '../shared/models/smollm2-135m-instruct-q4_1.gguf'))
  .option('--tokens <n>', 'length of the prompt', '4096')
  .option('--budget <amount>', 'what to keep', '20%')
  .option('--repeat <n>', 'repetitions', '3')
  .option('--page', 'write docs/benchmarks/policies.md')
  .option('--policies <expressions...>', 'policies', [
    'streaming-llm',
    'knorm',
    'keydiff',
    'lagkv',
    'tova',
    'snapkv',
    'pyramidkv',
    'adakv(snapkv)',
    'chunkkv(snapkv)',
    'criticalkv(snapkv)',
    'expected-attention',
    'cake',
    'think(snapkv)',
    'ratchet',
    'nacl',
    'h2o',
    'observed-attention',
    'decoding(streaming-llm)',
    'decoding(tova)',
    'decoding(h2o)',
  ])
  .parse();
const options = command.opts<{
  json?: boolean;
  model: string;
  tokens: string;
  budget: string;
  repeat: string;
  page?: boolean;
  policies: readonly string[];
}>();

/** Policies that look at all queries may cost more. */
const wholeAttention = new Set(['h2o', 'observed-attention', 'nacl', 'decoding(h2o)']);
/** Those whose statistics are added up while the layer attends: their whole prefill is compared with one without a policy. */
const fused = new Set(['h2o', 'observed-attention', 'decoding(h2o)']);

const registry = allPolicies();
const tokens = Number(options.tokens);
await using backend = createCpuBackend();
using model = await load(options.model, { backend, contextLength: tokens + 16 });
const { headDim, kvHeads, layers } = model.decoder.config;
const rows: CostRow[] = [];
const repeat = Number(options.repeat);
using full = model.session();
await full.prefill(promptIds(tokens));
for (const expression of options.policies) {
  const policy = registry.parse(expression);
  // Where whole prefills are compared, those without a policy are measured in between: the machine changes from minute to minute.
  const plain: number[] = [];
  const whole: number[] = [];
  const runs = await inTurn(repeat, async () => {
    if (fused.has(expression)) plain.push(await secondsToRead(model, tokens));
    using twin = full.fork();
    whole.push(await stepSeconds(twin));
    return costOf(model, policy, tokens);
  });
  // Linear memory doubles with the prompt; a matrix of all pairs would quadruple.
  const half = await costOf(model, policy, tokens / 2);
  const row: CostRow = {
    name: expression,
    share: fused.has(expression)
      ? median(runs.map(({ readSeconds }) => readSeconds)) / median(plain) - 1
      : sumOfMedians(runs.map(({ shares }) => shares)),
    goal: wholeAttention.has(expression) ? 0.12 : 0.03,
    extraBytes: Math.max(...runs.map(({ extraBytes }) => extraBytes)),
    halfExtraBytes: half.extraBytes,
    decode: median(runs.map((run) => run.stepSeconds)) / median(whole),
    bytes: runs[0]?.bytes ?? 0,
    fullBytes: 2 * 2 * headDim * kvHeads * layers.length * tokens,
  };
  rows.push(row);
  if (options.json) console.log(JSON.stringify(row));
  else {
    const percent = (value: number) => `${(100 * value).toFixed(1)} %`.padStart(8);
    const growth = (row.extraBytes / row.halfExtraBytes).toFixed(2);
    const text = `${percent(row.share)} of prefill (goal ${percent(row.goal)}), extra ${(row.extraBytes / 2 ** 20).toFixed(1)} MiB (× ${growth} of half the prompt), holds ${percent(row.bytes / row.fullBytes)} of the full cache, a step takes ${percent(row.decode)} of one over it`;
    console.log(`${row.share <= row.goal ? 'ok  ' : 'miss'} ${expression.padEnd(22)}${text}`);
  }
}
if (options.page) {
  const path = join(root, 'docs/benchmarks/policies.md');
  const commit = execFileSync('git', ['rev-parse', '--short=12', 'HEAD'], { cwd: root, encoding: 'utf8' }).trim();
  const { description, threads } = backend.info;
  const facts = {
    tokens,
    budget: options.budget,
    repeat: options.repeat,
    commit,
    machine: `${cpus()[0]?.model}, ${description}, ${threads} threads`,
  };
  writeFileSync(path, costPage(rows, facts));
  console.log(`wrote ${path}`);
}

interface Cost {
  /** Of each layer's eviction, per second of the rest of this very prefill: the machine changes from minute to minute. */
  readonly shares: readonly number[];
  /** Of the whole prefill. */
  readonly readSeconds: number;
  readonly extraBytes: number;
  readonly bytes: number;
  readonly stepSeconds: number;
}

/** One prefill whose evictions are measured one by one. */
async function costOf(of: LanguageModel, policy: EvictionPolicy, length: number): Promise<Cost> {
  const costs: EvictionCost[] = [];
  using session = of.session({ policy, budget: options.budget });
  const started = performance.now();
  await session.prefill(promptIds(length), { onEviction: (cost) => costs.push(cost) });
  const readSeconds = (performance.now() - started) / 1000;
  const rest = readSeconds - costs.reduce((sum, cost) => sum + cost.seconds, 0);
  return {
    readSeconds,
    shares: costs.map((cost) => cost.seconds / rest),
    extraBytes: Math.max(...costs.map((cost) => cost.extraBytes)),
    bytes: session.statistics().bytes,
    stepSeconds: await stepSeconds(session),
  };
}

/** A step of decoding behind the prompt, the first one left out. */
async function stepSeconds(session: Session): Promise<number> {
  const ends: number[] = [];
  for await (const _chunk of session.generate({ maxTokens: 25, ignoreEos: true })) ends.push(performance.now());
  const [first = Number.NaN] = ends;
  return ((ends.at(-1) ?? Number.NaN) - first) / 1000 / (ends.length - 1);
}

/** Layer by layer the median of the repetitions, so that a pause of the machine does not count, and then all layers: they need not cost alike. */
function sumOfMedians(runs: readonly (readonly number[])[]): number {
  const [first = []] = runs;
  return first.reduce((sum, _, layer) => sum + median(runs.map((run) => run[layer] ?? Number.NaN)), 0);
}

async function secondsToRead(of: LanguageModel, length: number): Promise<number> {
  using session = of.session();
  const started = performance.now();
  await session.prefill(promptIds(length));
  return (performance.now() - started) / 1000;
}

async function inTurn<T>(count: number, work: () => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  while (results.length < count) results.push(await work());
  return results;
}
