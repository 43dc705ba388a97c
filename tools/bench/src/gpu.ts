import { createCudaBackend } from '@kvsift/backend-cuda';
import type { LanguageModel } from '@kvsift/engine';
import { allPolicies } from '@kvsift/policies';
import { type Backend, isKvsiftError } from '@kvsift/tensor';
import { Command } from 'commander';
import { measureCopy } from './gpu/copy-bandwidth.js';
import { embeddingBytes, type ModelSize, size8B, syntheticModel } from './gpu/shape.js';
import { runTorch } from './gpu/torch.js';
import { promptIds } from './peers/protocol.js';

const sizes: Readonly<Record<string, ModelSize>> = {
  '8b': size8B,
  tiny: { layers: 2, hidden: 256, intermediate: 512, queryHeads: 4, kvHeads: 2, headDim: 64, vocabulary: 512 },
};

const command = new Command('bench:gpu')
  .description(
    'Measures prefill, eviction and decoding of a model of 8B shape (random bf16 weights, made on the device) on a GPU.',
  )
  .option('--json', 'print JSON lines')
  .option('--size <name>', '8b, or tiny to try the program', '8b')
  .option('--layers <n>', 'layers, where not all of them are wanted')
  .option('--lengths <list>', 'prompt lengths', '4096,8192,16384,32768,65536,131072')
  .option('--budget <amount>', 'what policies keep', '20%')
  .option('--policies <expressions...>', 'policies', ['full', 'streaming-llm', 'knorm', 'snapkv', 'adakv(snapkv)', 'h2o'])
  .option('--steps <n>', 'tokens to decode', '64')
  .option('--device <n>', 'GPU by number, or "emulated" to try the program', '0')
  .option('--no-peers', 'leave PyTorch out even where it is installed')
  .parse();
const options = command.opts<{
  json?: boolean;
  size: string;
  layers?: string;
  lengths: string;
  budget: string;
  policies: readonly string[];
  steps: string;
  device: string;
  peers: boolean;
}>();

interface Row {
  readonly name: string;
  readonly tokens: number;
  readonly prefillSeconds: number;
  /** Part of the prefill that eviction takes. */
  readonly evictionShare: number;
  readonly decodeMilliseconds: number;
  /** Bytes of weights and cache entries that a step reads, over the time it takes, over the copy bandwidth of the same run. */
  readonly bandwidthShare: number;
  /** Part of a decode step in which the JavaScript thread works. */
  readonly javascriptShare: number;
  readonly cacheBytes: number;
  readonly peakBytes: number;
  readonly estimatedBytes: number;
}

function open(): Backend {
  try {
    return createCudaBackend(options.device === 'emulated' ? { emulated: true } : { device: Number(options.device) });
  } catch (error) {
    if (!isKvsiftError(error)) throw error;
    // One line: the first of the text says what is missing.
    console.error(`bench:gpu: nothing was measured: ${error.message.split('\n')[0]}`);
    process.exit(1);
  }
}

async function measure(
  backend: Backend,
  model: LanguageModel,
  expression: string,
  tokens: number,
  bandwidth: number,
): Promise<Row> {
  const policy = allPolicies().parse(expression);
  const budget = expression === 'full' ? '100%' : options.budget;
  const ids = promptIds(tokens).map((id) => id % model.decoder.config.vocabulary);
  const steps = Number(options.steps);
  await backend.finish();
  backend.resetPeak();
  using session = model.session({ policy, budget });
  let [evicting, peakBytes] = [0, 0];
  const started = performance.now();
  await session.prefill(ids, {
    onEviction: (cost) => {
      evicting += cost.seconds;
      peakBytes = Math.max(peakBytes, cost.peakBytes);
    },
  });
  const prefillSeconds = (performance.now() - started) / 1000;
  peakBytes = Math.max(peakBytes, backend.memory().peakBytes);
  const estimate = model.estimate({ context: tokens, policy, budget });
  // The first steps record the graph.
  const decode = async (count: number) => {
    for await (const _ of session.generate({ maxTokens: count, ignoreEos: true })) void _;
  };
  await decode(4);
  const idle = performance.eventLoopUtilization();
  const begun = performance.now();
  await decode(steps);
  const seconds = (performance.now() - begun) / 1000 / steps;
  const { bytes: cacheBytes, entryBytes } = session.statistics();
  // Of the table of embeddings a step reads one row.
  const readBytes = estimate.weights - embeddingBytes(size) + entryBytes;
  return {
    ...{ name: expression, tokens, prefillSeconds, evictionShare: evicting / prefillSeconds, decodeMilliseconds: 1000 * seconds },
    bandwidthShare: readBytes / seconds / bandwidth,
    javascriptShare: performance.eventLoopUtilization(idle).utilization,
    ...{ cacheBytes, peakBytes, estimatedBytes: estimate.peak },
  };
}

function print(row: Row): void {
  if (options.json) {
    console.log(JSON.stringify(row));
    return;
  }
  const gib = (bytes: number) => `${(bytes / 2 ** 30).toFixed(2)} GiB`;
  const percent = (value: number) => `${(100 * value).toFixed(1)} %`;
  console.log(
    [
      `${row.name.padEnd(16)}${String(row.tokens).padStart(7)} tokens: prefill ${row.prefillSeconds.toFixed(2)} s, eviction ${percent(row.evictionShare)} of it`,
      `decode ${row.decodeMilliseconds.toFixed(2)} ms a token, ${percent(row.bandwidthShare)} of copy bandwidth, JavaScript ${percent(row.javascriptShare)}`,
      `peak ${gib(row.peakBytes)}, estimated ${gib(row.estimatedBytes)}, cache ${gib(row.cacheBytes)}`,
    ].join('; '),
  );
}

await using backend = open();
const lengths = options.lengths.split(',').map(Number);
const whole = sizes[options.size] ?? size8B;
const size = { ...whole, layers: Number(options.layers ?? whole.layers) };
using model = await syntheticModel(backend, size, Math.max(...lengths) + 1024);
const bandwidth = await measureCopy(backend, options.size === '8b' ? 2 ** 30 : 2 ** 16);
console.log(
  options.json
    ? JSON.stringify({ device: backend.info.description, bandwidth })
    : `${backend.info.description}; copies ${(bandwidth / 1e9).toFixed(0)} GB/s`,
);
// The first prompt finds kernels not loaded and memory not taken.
await measure(backend, model, 'full', 512, bandwidth);
for (const tokens of lengths) {
  for (const expression of options.policies) {
    try {
      // The first prompt of a length finds memory not taken; where prompts are long that does not show.
      if (tokens <= 16384) await measure(backend, model, expression, tokens, bandwidth);
      print(await measure(backend, model, expression, tokens, bandwidth));
    } catch (error) {
      if (!isKvsiftError(error)) throw error;
      console.log(
        options.json
          ? JSON.stringify({ name: expression, tokens, error: error.message })
          : `${expression} ${tokens}: ${error.message}`,
      );
      await backend.finish().catch(() => {});
    }
  }
}
if (options.peers) for (const line of runTorch(size, lengths, Number(options.steps))) console.log(line);
