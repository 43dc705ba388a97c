import { fileURLToPath } from 'node:url';
import { createCpuBackend } from '@kvsift/backend-cpu';
import { load } from '@kvsift/engine';
import { allPolicies } from '@kvsift/policies';
import { Command } from 'commander';
import { promptIds } from './peers/protocol.js';

const command = new Command('bench:memory')
  .description(
    'Measures the peak of a prefill against its bound: one full layer, the kept part of the others, bounded activations.',
  )
  .option('--json', 'print JSON lines')
  .option(
    '--model <path>',
    'model',
    fileURLToPath(new URL('../../../../shared/models/smollm2-135m-instruct-q4_1.gguf', import.meta.url)),
  )
  .option('--lengths <list>', 'prompt lengths', '1024,2048,4096,8192')
  .option('--budget <amount>', 'what to keep', '20%')
  .option('--policies <expressions...>', 'policies', ['full', 'streaming-llm', 'snapkv', 'h2o', 'adakv(snapkv)'])
  .parse();
const options = command.opts<{ json?: boolean; model: string; lengths: string; budget: string; policies: readonly string[] }>();

const registry = allPolicies();
await using backend = createCpuBackend();
using model = await load(options.model, { backend });
// What the first run leaves behind (rope tables) is not part of a prefill.
{
  using session = model.session();
  await session.prefill(promptIds(64));
}
for (const expression of options.policies) {
  for (const length of options.lengths.split(',').map(Number)) {
    const policy = registry.parse(expression);
    const budget = expression === 'full' ? '100%' : options.budget;
    await backend.finish();
    backend.resetPeak();
    const before = backend.memory().bytes;
    using session = model.session({ policy, budget });
    await session.prefill(promptIds(length));
    const estimate = model.estimate({ context: length, policy, budget });
    const peak = backend.memory().peakBytes - before;
    const bound = estimate.prefillCache + estimate.activations;
    const row = { name: expression, length, peak, bound, cache: session.statistics().bytes, expectedCache: estimate.cache };
    if (options.json) console.log(JSON.stringify(row));
    else {
      const mib = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1).padStart(7)} MiB`;
      console.log(
        `${expression.padEnd(16)}${String(length).padStart(6)} tokens: peak ${mib(peak)} of estimated ${mib(bound)}; cache ${mib(row.cache)}, estimated ${mib(row.expectedCache)}`,
      );
    }
  }
}
