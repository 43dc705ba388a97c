import { load } from '@kvsift/engine';
import { KvsiftError } from '@kvsift/tensor';
import { Command } from 'commander';
import { type BackendChoice, backendOptions, createBackend } from '../backends.js';
import { checkBudget } from '../check-budget.js';
import { interruption } from '../interruption.js';
import { modelPath } from '../model-path.js';
import { Progress } from '../progress.js';
import { cacheOptions, generateOptions, type RunOptions, readText, samplingOptions, sessionOptions } from '../run-options.js';

interface GenerateFlags extends BackendChoice, RunOptions {
  readonly prompt?: string;
  readonly promptFile?: string;
  readonly raw?: boolean;
  readonly json?: boolean;
}

export function generateCommand(): Command {
  const command = new Command('generate')
    .description('Answers a prompt and streams the answer.')
    .argument('<model>', 'a .gguf file or a Hugging Face folder; demo is the embedded model')
    .option('-p, --prompt <text>', 'the prompt')
    .option('-f, --prompt-file <path>', 'the prompt from a UTF-8 file; - reads standard input')
    .option('--raw', 'continue the text as it is, without the chat template')
    .option('--json', 'print one JSON line per token and one with totals')
    .action(generate)
    .addHelpText(
      'after',
      `
Examples:
  kvsift generate model.gguf -p "Why is the sky blue?"
  kvsift generate model.gguf -f book.txt --policy "snapkv(window=32)" --budget 20% --max-tokens 100`,
    );
  for (const option of [...cacheOptions(), ...samplingOptions(256), ...backendOptions()]) command.addOption(option);
  return command;
}

async function generate(path: string, flags: GenerateFlags): Promise<void> {
  const text = await promptText(flags);
  const options = await sessionOptions(flags);
  const signal = interruption();
  using progress = new Progress(flags.json);
  await using backend = await createBackend(flags);
  progress.step(`loading ${path}`);
  using model = await load(modelPath(path), {
    backend,
    signal,
    ...(flags.context !== undefined && { contextLength: flags.context }),
    onProgress: (done, total) => progress.share(done, total),
  });
  const chat = flags.raw !== true && model.tokenizer.chatTemplate !== undefined;
  const ids = model.encode(chat ? [{ role: 'user', content: text }] : text);
  checkBudget(model, options, ids.length);
  progress.step(`reading ${ids.length} tokens`);
  const started = performance.now();
  let first = 0;
  let count = 0;
  for await (const chunk of model.generate(ids, {
    ...generateOptions(flags),
    ...options,
    signal,
    onProgress: (done, total) => progress.share(done, total),
  })) {
    if (count++ === 0) {
      progress.clear();
      first = performance.now();
    }
    if (flags.json) console.log(JSON.stringify(chunk));
    else process.stdout.write(chunk.text);
  }
  const ended = performance.now();
  const totals = {
    promptTokens: ids.length,
    tokens: count,
    prefillSeconds: (first - started) / 1000,
    decodeTokensPerSecond: count > 1 ? ((count - 1) * 1000) / (ended - first) : 0,
  };
  if (flags.json) console.log(JSON.stringify(totals));
  else {
    process.stdout.write('\n');
    // The first token comes with the prompt: alone it has no speed.
    const speed = count > 1 ? `, ${totals.decodeTokensPerSecond.toFixed(1)} tokens/s` : '';
    console.error(`${ids.length} tokens read in ${totals.prefillSeconds.toFixed(2)} s, ${count} generated${speed}`);
  }
}

async function promptText({ prompt, promptFile }: GenerateFlags): Promise<string> {
  if (prompt !== undefined && promptFile !== undefined)
    throw new KvsiftError('invalid_argument', 'give --prompt or --prompt-file, not both');
  const text = promptFile === undefined ? prompt : await readText(promptFile);
  if (text === undefined)
    throw new KvsiftError('invalid_argument', 'what is the prompt? Give --prompt "text" or --prompt-file path');
  if (text === '') throw new KvsiftError('invalid_argument', 'the prompt is empty');
  return text;
}
