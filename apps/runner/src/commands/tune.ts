import { load } from '@kvsift/engine';
import { allPolicies, registryFor } from '@kvsift/policies';
import { ownBudget } from '@kvsift/policy';
import { terminalTable } from '@kvsift/report';
import { KvsiftError } from '@kvsift/tensor';
import { parsePrompts, type Tuning, tune } from '@kvsift/tune';
import { Command } from 'commander';
import { type BackendChoice, backendOptions, createBackend } from '../backends.js';
import { interruption } from '../interruption.js';
import { modelPath } from '../model-path.js';
import { number, whole } from '../number-option.js';
import { Progress } from '../progress.js';
import { budgetList, readText } from '../run-options.js';

interface TuneFlags extends BackendChoice {
  readonly target: number;
  readonly policies: readonly string[];
  readonly budgets: readonly string[];
  readonly maxTokens: number;
  readonly first?: number;
  readonly raw?: boolean;
  readonly json?: boolean;
}

const policies = ['snapkv', 'tova', 'h2o', 'adakv(snapkv)', 'keydiff', 'expected-attention', 'streaming-llm'];
const defaultBudgets = ['5%', '10%', '20%', '35%', '50%', '75%'];

export function tuneCommand(): Command {
  const command = new Command('tune')
    .description('Finds the cheapest policy and budget that keep a share of the full cache’s quality on your own prompts.')
    .argument('<model>', 'a .gguf file, a Hugging Face folder, or demo')
    .argument('<prompts>', 'JSON lines {"prompt": "…", "answer": "…"}, the answer may be missing; - reads standard input')
    .option('--target <share>', 'quality to keep, of the full cache’s', number(0, 1), 0.99)
    .option('--policies <expressions...>', 'policies to choose from', policies)
    .option('--budgets <amounts...>', 'budgets to choose from', defaultBudgets)
    .option('--max-tokens <n>', 'most tokens of an answer', whole(1, 1e6), 64)
    .option('--first <n>', 'prompts of the first round (default: by the number of candidates)', whole(1, 1e9))
    .option('--raw', 'take prompts as they are, without the chat template')
    .option('--json', 'print JSON')
    .action(run)
    .addHelpText(
      'after',
      `
Examples:
  kvsift tune model.gguf mine.jsonl
  kvsift tune model.gguf mine.jsonl --target 0.95 --policies snapkv tova --budgets 10% 20% 50%`,
    );
  for (const option of backendOptions()) command.addOption(option);
  return command;
}

async function run(path: string, file: string, flags: TuneFlags): Promise<void> {
  const prompts = parsePrompts(await readText(file), file);
  const budgets = budgetList(flags.budgets);
  const registry = await registryFor(flags.policies, allPolicies());
  const signal = interruption();
  using progress = new Progress(flags.json);
  await using backend = await createBackend(flags);
  progress.step(`loading ${path}`);
  using model = await load(modelPath(path), { backend, signal });
  const result = await tune(model, prompts, {
    policies: flags.policies.map((text) => registry.parse(text)),
    budgets,
    target: flags.target,
    maxTokens: flags.maxTokens,
    chat: flags.raw !== true,
    ...(flags.first !== undefined && { first: flags.first }),
    signal,
    onProgress: (step, done, total) => progress.update(`${step}: prompt ${done + 1} of ${total}`),
  });
  progress.clear();
  if (flags.json) console.log(JSON.stringify(result, null, 2));
  else print(result, flags.target, `kvsift generate ${path}${flags.raw ? ' --raw' : ''}`);
  if (result.best === undefined) {
    throw new KvsiftError(
      'score_error',
      result.tried.some(({ quality }) => quality >= flags.target)
        ? `what keeps ${percent(flags.target)} of the full cache’s quality evicts nothing of these prompts: lower the budgets, or lower --target`
        : `nothing tried keeps ${percent(flags.target)} of the full cache’s quality: raise the budgets, or lower --target`,
    );
  }
}

const columns = ['policy', 'budget', 'quality kept', 'prompts', 'cache', 'of full', 's per prompt'];

function print({ best, tried, full }: Tuning, target: number, generate: string): void {
  const found = `The full cache finds ${full.found} of ${full.expected} answers; prompts that it misses are left out.`;
  const table = terminalTable({
    columns: columns.map((title, index) => ({ title, align: index === 0 ? 'left' : 'right' })),
    rows: tried.map(({ policy, budget, quality, prompts, cacheBytes, cacheShare, secondsPerPrompt }) => [
      policy,
      budget,
      quality.toFixed(3),
      `${prompts}`,
      `${(cacheBytes / 2 ** 20).toFixed(2)} MiB`,
      percent(cacheShare),
      secondsPerPrompt.toFixed(2),
    ]),
    notes: full.expected > 0 ? [found] : [],
  });
  console.log(table);
  if (best === undefined) return;
  console.log(
    `Cheapest that keeps ${percent(target)}: ${best.policy} at ${best.budget}, ${percent(best.cacheShare)} of the cache.`,
  );
  const budget = best.budget === ownBudget ? '' : ` --budget ${best.budget}`;
  console.log(`Use it: ${generate} --policy "${best.policy}"${budget} -p "…"`);
}

const percent = (share: number) => `${(100 * share).toFixed(share < 0.995 && share > 0.1 ? 0 : 1)} %`;
