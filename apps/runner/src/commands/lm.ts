import { load } from '@kvsift/engine';
import { chunkDocuments, everyStep } from '@kvsift/eval-lm';
import { allPolicies, registryFor } from '@kvsift/policies';
import { budgetsFor, outsideVersions } from '@kvsift/policy';
import { terminalTable } from '@kvsift/report';
import { KvsiftError } from '@kvsift/tensor';
import { Command } from 'commander';
import { type BackendChoice, backendOptions, createBackend } from '../backends.js';
import { interruption } from '../interruption.js';
import { evaluateLm, type LmCell, type LmRow } from '../lm-evaluation.js';
import { openReadings } from '../lm-readings.js';
import { modelPath } from '../model-path.js';
import { whole } from '../number-option.js';
import { Progress } from '../progress.js';
import { budgetList, readText } from '../run-options.js';

interface LmFlags extends BackendChoice {
  readonly policies: readonly string[];
  readonly budgets: readonly string[];
  readonly chunkSize: number;
  readonly chunks: number;
  readonly prefill: number;
  readonly out?: string;
  readonly json?: boolean;
}

export function lmCommand(): Command {
  const command = new Command('lm')
    .description('Perplexity and next-token accuracy of texts while the cache is compressed, against the full cache.')
    .argument('<model>', 'a .gguf file, a Hugging Face folder, or demo')
    .argument('<texts...>', 'UTF-8 text files, one document each')
    .option('--policies <expressions...>', 'policies; those that evict while decoding (every-step, decoding) at every token', [
      'snapkv',
      'streaming-llm',
    ])
    .option('--budgets <amounts...>', 'budgets', ['50%', '20%'])
    .option('--chunk-size <n>', 'tokens of a chunk', whole(2), 1024)
    .option('--chunks <n>', 'most chunks', whole(1), 1)
    .option('--prefill <n>', 'tokens that are read and evicted before the first prediction; 0: token by token', whole(0), 512)
    .option(
      '--out <file>',
      'JSON lines with the score of every token; a file that is there is continued: what was read with equal model, text, backend and settings is not read again',
    )
    .option('--json', 'print JSON, with running perplexities')
    .action(run)
    .addHelpText(
      'after',
      `
Examples:
  kvsift lm model.gguf book.txt --policies snapkv tova --budgets 50% 20%
  kvsift lm model.gguf book.txt --prefill 0 --policies "every-step(knorm(), keepRatio=0.98, pruneAfter=1000, skipLayers=[0,1])" --budgets 100%`,
    );
  for (const option of backendOptions()) command.addOption(option);
  return command;
}

async function run(path: string, texts: readonly string[], flags: LmFlags): Promise<void> {
  const registry = await registryFor(flags.policies, allPolicies([everyStep]));
  const budgets = budgetList(flags.budgets);
  const cells = flags.policies.flatMap((label) => {
    const policy = registry.parse(label);
    const outside = outsideVersions(policy, registry);
    return budgetsFor(policy, budgets).map((budget): LmCell => ({ label, budget, policy, outside }));
  });
  const contents: string[] = [];
  for (const text of texts) contents.push(await readText(text));
  const readings = await openReadings(flags.out);
  const signal = interruption();
  using progress = new Progress(flags.json);
  await using backend = await createBackend(flags);
  progress.step(`loading ${path}`);
  using model = await load(modelPath(path), { backend, signal });
  const { tokenizer } = model;
  const documents = contents.map((content) => tokenizer.encode(content, { addSpecial: false }));
  const [eos = 0] = model.files.eosIds;
  // Tokenizers without begin-of-text begin documents with end-of-text, as their models were trained.
  const bos = tokenizer.encode('', { addSpecial: true })[0] ?? eos;
  const all = chunkDocuments(documents, { chunkSize: flags.chunkSize, merge: true, bos, eos });
  const chunks: number[][] = [];
  for (const chunk of all) if (chunks.push(chunk) === flags.chunks) break;
  if (chunks.length === 0) {
    const tokens = documents.reduce((sum, { length }) => sum + length, 0);
    throw new KvsiftError(
      'data_malformed',
      `the texts have ${tokens} tokens, one chunk needs ${flags.chunkSize}: lower --chunk-size`,
    );
  }
  const rows = await evaluateLm(model, chunks, cells, {
    prefill: flags.prefill,
    readings,
    backend: backend.info,
    signal,
    onProgress: (text) => progress.update(text),
  });
  progress.clear();
  if (flags.json) console.log(JSON.stringify(rows, null, 2));
  else console.log(table(rows));
}

const columns = ['policy', 'budget', 'perplexity', '95 % interval', 'accuracy', 'nats per token above full', 'cache'];

function table(rows: readonly LmRow[]): string {
  const [first] = rows;
  return terminalTable({
    columns: columns.map((title, index) => ({ title, align: index === 0 ? 'left' : 'right' })),
    rows: rows.map(({ label, budget, perplexity, accuracy, difference, cacheBytes }) => [
      label,
      budget,
      perplexity.mean.toFixed(3),
      `${perplexity.low.toFixed(2)} … ${perplexity.high.toFixed(2)}`,
      accuracy.toFixed(3),
      difference === undefined ? '' : `${difference.mean.toFixed(4)}${difference.withinNoise ? ' ~' : ''}`,
      `${(cacheBytes / 2 ** 20).toFixed(2)} MiB`,
    ]),
    notes: [
      `${first?.chunks} chunks, ${first?.tokens} tokens predicted; intervals by bootstrap over ${first?.resampled}; ~ marks what is within noise.`,
    ],
  });
}
