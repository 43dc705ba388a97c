import { stat } from 'node:fs/promises';
import { estimateMemory, openModel } from '@kvsift/engine';
import { allPolicies } from '@kvsift/policies';
import { parseBudget } from '@kvsift/policy';
import { formatBytes } from '@kvsift/report';
import { KvsiftError } from '@kvsift/tensor';
import { Command } from 'commander';
import { modelPath } from '../model-path.js';
import { cacheOptions, type RunOptions, sessionOptions } from '../run-options.js';
import { retentionCommand } from './retention.js';

type InspectFlags = Pick<RunOptions, 'policy' | 'budget' | 'kvType' | 'context'> & { readonly json?: boolean };

export function inspectCommand(): Command {
  const command = new Command('inspect')
    .description(
      'Tells about a model file (architecture, shapes, memory for a context, policy and budget), about a policy, or what it keeps.',
    )
    .argument('<target>', 'a .gguf file, a Hugging Face folder, or the name of a policy')
    .option('--json', 'print JSON')
    .action(inspect)
    .addHelpText(
      'after',
      `
Examples:
  kvsift inspect model.gguf --context 8192 --policy snapkv --budget 20%
  kvsift inspect snapkv`,
    );
  for (const option of cacheOptions()) command.addOption(option);
  return command.addCommand(retentionCommand());
}

async function inspect(target: string, flags: InspectFlags): Promise<void> {
  if (allPolicies().factories.has(target)) return inspectPolicy(target, flags);
  const path = modelPath(target);
  const exists = await stat(path).then(
    () => true,
    () => false,
  );
  if (!exists) {
    throw new KvsiftError(
      'file_not_found',
      `"${target}" is neither a file, a folder nor a policy (kvsift policies lists those)`,
      { target },
    );
  }
  await inspectModel(path, flags);
}

function inspectPolicy(name: string, { json }: InspectFlags): void {
  const definition = allPolicies().factories.get(name)?.definition;
  if (definition === undefined) return;
  const { create: _create, ...facts } = definition;
  if (json) {
    console.log(JSON.stringify(facts, null, 2));
    return;
  }
  console.log(`${definition.title} (${name})\n\n${definition.idea}`);
  if (definition.paper) console.log(`\n${definition.paper.title}, ${definition.paper.venue}\n${definition.paper.url}`);
  console.log('\nParameters');
  for (const [parameter, { description, ...rest }] of Object.entries(definition.parameters)) {
    const fallback = 'default' in rest ? ` (default ${String(rest.default)})` : '';
    console.log(`  ${parameter}${fallback}: ${description}`);
  }
  console.log(`\nObserves: ${definition.observes}\nCosts: ${definition.costs}\nEvicts: ${definition.phases.join(' and ')}`);
  for (const [profile, { description }] of Object.entries(definition.profiles ?? {}))
    console.log(`Profile ${profile}: ${description}`);
  for (const deviation of definition.deviations ?? []) console.log(`Deviation: ${deviation}`);
}

async function inspectModel(path: string, flags: InspectFlags): Promise<void> {
  const { config, weights, tokenizer } = await openModel(path);
  const context = flags.context ?? config.contextLength;
  const { policy } = await sessionOptions(flags);
  const kvType = flags.kvType ?? 'f16';
  const memory = estimateMemory({
    config,
    tensors: weights.tensors.values(),
    context,
    kvType,
    ...(policy && { policy }),
    ...(flags.budget && { budget: parseBudget(flags.budget) }),
    info: {},
  });
  const types = new Map<string, number>();
  for (const { dtype } of weights.tensors.values()) types.set(dtype, (types.get(dtype) ?? 0) + 1);
  const { layers, ...sizes } = config;
  const facts = {
    path,
    format: weights.format,
    ...sizes,
    layers: layers.length,
    windows: layers.map(({ window }) => window ?? null),
    tensorTypes: Object.fromEntries(types),
    vocabularySize: tokenizer?.vocabSize ?? null,
    chatTemplate: tokenizer?.chatTemplate !== undefined,
    memory: { context, kvType, policy: flags.policy ?? null, budget: flags.budget ?? null, ...memory },
  };
  if (flags.json) {
    console.log(JSON.stringify(facts, null, 2));
    return;
  }
  const windowed = layers.filter(({ window }) => window !== undefined).length;
  const lines: readonly (readonly [string, string])[] = [
    ['file', `${path} (${weights.format})`],
    ['architecture', config.architecture],
    ['layers', `${layers.length}${windowed > 0 ? `, ${windowed} with a sliding window` : ''}`],
    ['hidden · feed-forward', `${config.hidden} · ${config.intermediate}`],
    ['heads', `${config.queryHeads} query, ${config.kvHeads} KV, of ${config.headDim}`],
    ['vocabulary', `${config.vocabulary}`],
    ['context', `${config.contextLength} tokens`],
    ['tensors', [...types].map(([type, count]) => `${count} ${type}`).join(', ')],
    ['', ''],
    [
      `memory for ${context} tokens`,
      flags.policy ? `${flags.policy}${policy?.ignoresBudget ? '' : ` at ${flags.budget}`}` : 'full cache',
    ],
    ['  weights', formatBytes(memory.weights)],
    [
      `  cache (${kvType})`,
      `${formatBytes(memory.cache)}${memory.cache < memory.fullCache ? ` of ${formatBytes(memory.fullCache)}` : ''}`,
    ],
    ['  cache while reading', formatBytes(memory.prefillCache)],
    ['  activations', formatBytes(memory.activations)],
    ['  peak', formatBytes(memory.peak)],
  ];
  for (const [name, value] of lines) console.log(name === '' ? '' : `${name.padEnd(24)}${value}`);
}
