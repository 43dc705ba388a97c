import { fileURLToPath } from 'node:url';
import { createCpuBackend } from '@kvsift/backend-cpu';
import { type EvictionCost, load } from '@kvsift/engine';
import { allPolicies } from '@kvsift/policies';
import { Command } from 'commander';
import { median } from './median.js';
import { promptIds } from './peers/protocol.js';

const command = new Command('bench:policies')
  .description('Measures what evicting costs: share of the prefill time, extra memory, bytes left, for each policy.')
  .option('--json', 'print JSON lines')
  .option(
    '--model <path>',
    'model',
    fileURLToPath(new URL('../../../../shared/models/smollm2-135m-instruct-q4_1.gguf', import.meta.url)),
  )
  .option('--tokens <n>', 'length of the prompt', '4096')
  .option('--budget <amount>', 'what to keep', '20%')
  .option('--repeat <n>', 'repetitions', '3')
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
    'nacl',
    'h2o',
    'observed-attention',
  ])
  .parse();
const options = command.opts<{
  json?: boolean;
  model: string;
  tokens: string;
  budget: string;
  repeat: string;
  policies: readonly string[];
}>();

/** Policies that look at all queries may cost more. */
const wholeAttention = new Set(['h2o', 'observed-attention', 'nacl']);

const registry = allPolicies();
await using backend = createCpuBackend();
using model = await load(options.model, { backend, contextLength: Number(options.tokens) + 16 });
const ids = promptIds(Number(options.tokens));
const { headDim, kvHeads, layers } = model.decoder.config;
for (const expression of options.policies) {
  const shares: number[] = [];
  let extraBytes = 0;
  let bytes = 0;
  for (let round = 0; round < Number(options.repeat); round++) {
    const costs: EvictionCost[] = [];
    using session = model.session({ policy: registry.parse(expression), budget: options.budget });
    const started = performance.now();
    await session.prefill(ids, { onEviction: (cost) => costs.push(cost) });
    const seconds = (performance.now() - started) / 1000;
    const evicting = costs.reduce((sum, cost) => sum + cost.seconds, 0);
    shares.push(evicting / (seconds - evicting));
    extraBytes = Math.max(...costs.map((cost) => cost.extraBytes));
    bytes = session.statistics().bytes;
  }
  const row = {
    name: expression,
    share: median(shares),
    goal: wholeAttention.has(expression) ? 0.12 : 0.03,
    extraBytes,
    bytes,
    fullBytes: 2 * 2 * headDim * kvHeads * layers.length * ids.length,
  };
  if (options.json) console.log(JSON.stringify(row));
  else {
    const percent = (value: number) => `${(100 * value).toFixed(1)} %`.padStart(8);
    const text = `${percent(row.share)} of prefill (goal ${percent(row.goal)}), extra ${(extraBytes / 2 ** 20).toFixed(1)} MiB, holds ${percent(bytes / row.fullBytes)} of the full cache`;
    console.log(`${row.share <= row.goal ? 'ok  ' : 'miss'} ${expression.padEnd(22)}${text}`);
  }
}
