import { writeFile } from 'node:fs/promises';
import { load } from '@kvsift/engine';
import { KvsiftError } from '@kvsift/tensor';
import { Command, InvalidArgumentError } from 'commander';
import { type BackendChoice, backendOptions, createBackend } from '../backends.js';
import { interruption } from '../interruption.js';
import { modelPath } from '../model-path.js';
import { checkWritable } from '../output-paths.js';
import { Progress } from '../progress.js';
import { retentionPage } from '../retention/html.js';
import { readRetention, shares } from '../retention/retention.js';
import { terminalText } from '../retention/terminal.js';
import { cacheOptions, type RunOptions, readText, sessionOptions } from '../run-options.js';

type RetentionFlags = BackendChoice &
  Pick<RunOptions, 'policy' | 'budget' | 'kvType' | 'layout' | 'context'> & {
    readonly prompt?: string;
    readonly promptFile?: string;
    readonly layer?: number;
    readonly head?: number;
    readonly html?: string;
    readonly json?: boolean;
  };

const index = (text: string): number => {
  const value = Number(text);
  if (text.trim() !== '' && Number.isInteger(value) && value >= 0) return value;
  throw new InvalidArgumentError('expected a whole number from 0');
};

export function retentionCommand(): Command {
  const command = new Command('retention')
    .description('Shows on the prompt’s own text which tokens each layer and head keeps after the eviction.')
    .argument('<model>', 'a .gguf file, a Hugging Face folder, or demo')
    .option('-p, --prompt <text>', 'the prompt')
    .option('-f, --prompt-file <path>', 'the prompt from a UTF-8 file; - reads standard input')
    .option('--layer <n>', 'only this layer', index)
    .option('--head <n>', 'only this KV head', index)
    .option('--html <file>', 'write a page in which layer and head can be chosen')
    .option('--json', 'print kept positions as JSON')
    .addHelpText('after', '\nExample:\n  kvsift inspect retention demo -f text.txt --policy snapkv --budget 20% --html kept.html')
    .action(show);
  for (const option of [...cacheOptions(), ...backendOptions()]) command.addOption(option);
  return command;
}

async function show(target: string, _: unknown, command: Command): Promise<void> {
  const flags = command.optsWithGlobals<RetentionFlags>();
  const { prompt, promptFile: file, layer, head } = flags;
  if ((prompt === undefined) === (file === undefined)) {
    throw new KvsiftError('invalid_argument', 'give the prompt with --prompt or with --prompt-file');
  }
  if (flags.policy === undefined)
    throw new KvsiftError('policy_invalid', '--policy is needed: what shall choose? See kvsift policies');
  const text = prompt ?? (await readText(file ?? '-'));
  const options = await sessionOptions(flags);
  if (flags.html !== undefined) await checkWritable(flags.html);
  const signal = interruption();
  using progress = new Progress(flags.json);
  progress.step(`loading ${target}`);
  await using backend = await createBackend(flags);
  using model = await load(modelPath(target), { backend, signal, ...(flags.context && { contextLength: flags.context }) });
  const { layers, kvHeads } = model.decoder.config;
  for (const [name, value, count] of [
    ['--layer', layer, layers.length],
    ['--head', head, kvHeads],
  ] as const) {
    if (value !== undefined && value >= count)
      throw new KvsiftError('invalid_argument', `${name} ${value}: this model has ${count}, counted from 0`);
  }
  using session = model.session({ ...options, trackPositions: true });
  const ids = model.tokenizer?.encode(text) ?? new Int32Array();
  progress.step(`reading ${ids.length} tokens`);
  await session.prefill(ids, { signal, onProgress: (done, total) => progress.share(done, total) });
  progress.clear();
  const retention = await readRetention(model, session, ids);
  const title = `${flags.policy}${options.policy?.ignoresBudget ? '' : ` at ${flags.budget}`} of ${ids.length} tokens`;
  if (flags.html !== undefined) await writeFile(flags.html, retentionPage(retention, title));
  if (flags.json) {
    console.log(JSON.stringify({ tokens: retention.tokens, kept: retention.kept.map((heads) => heads.map((own) => [...own])) }));
  } else if (flags.html !== undefined) console.log(`wrote ${flags.html}`);
  else {
    const own = shares(retention, layer, head);
    const where = `${layer === undefined ? 'all layers' : `layer ${layer}`}, ${head === undefined ? 'all heads' : `head ${head}`}`;
    const colour = process.stdout.isTTY === true && process.env.NO_COLOR === undefined;
    console.log(terminalText(retention.tokens, own, colour));
    console.log(`\n${title}: ${where} keep ${own.reduce((sum, share) => sum + share, 0).toFixed(1)} tokens per head`);
  }
}
