import { createInterface } from 'node:readline/promises';
import { Chat, load } from '@kvsift/engine';
import { formatBytes } from '@kvsift/report';
import { KvsiftError } from '@kvsift/tensor';
import { Command, Option } from 'commander';
import pc from 'picocolors';
import { type BackendChoice, backendOptions, createBackend } from '../backends.js';
import { modelPath } from '../model-path.js';
import { Progress } from '../progress.js';
import { cacheOptions, generateOptions, type RunOptions, samplingOptions, sessionOptions } from '../run-options.js';

interface ChatFlags extends BackendChoice, RunOptions {
  readonly system?: string;
  readonly onOverflow: 'error' | 'evict';
  readonly json?: boolean;
}

export function chatCommand(): Command {
  const command = new Command('chat')
    .description(
      'Talks with a model; the cache of earlier turns stays. Ctrl-C stops an answer, Ctrl-D ends. Lines of a pipe are turns.',
    )
    .argument('<model>', 'a .gguf file or a Hugging Face folder')
    .option('--system <text>', 'a system message')
    .addOption(
      new Option(
        '--on-overflow <what>',
        'where the conversation outgrows the context: end with an error, or drop the oldest turns',
      )
        .choices(['error', 'evict'])
        .default('error'),
    )
    .option('--json', 'print one JSON line per answer')
    .action(chat);
  command.addHelpText(
    'after',
    `
Examples:
  kvsift chat model.gguf --policy snapkv --budget 2048
  printf 'Hello\\nAnd who are you?\\n' | kvsift chat model.gguf --json`,
  );
  for (const option of [...cacheOptions(), ...samplingOptions(512), ...backendOptions()]) command.addOption(option);
  return command;
}

async function chat(path: string, flags: ChatFlags): Promise<void> {
  const options = await sessionOptions(flags);
  using progress = new Progress(flags.json);
  await using backend = await createBackend(flags);
  progress.step(`loading ${path}`);
  using model = await load(modelPath(path), { backend, ...(flags.context !== undefined && { contextLength: flags.context }) });
  if (model.tokenizer.chatTemplate === undefined) {
    throw new KvsiftError(
      'template_invalid',
      `${path}: expected a model with a chat template, this one has none; try: kvsift generate ${path} -p "…"`,
      { path },
    );
  }
  progress.clear();
  const { system, onOverflow } = flags;
  const onDropped = (dropped: readonly unknown[]) => {
    if (flags.json) console.log(JSON.stringify({ dropped }));
    else console.error(pc.dim(`dropped the oldest ${dropped.length} messages: the context holds ${model.contextLength} tokens`));
  };
  using conversation = new Chat(
    model,
    { ...options, onOverflow, onDropped },
    system === undefined ? [] : [{ role: 'system', content: system }],
  );
  const person = process.stdin.isTTY === true;
  const terminal = createInterface({ input: process.stdin, ...(person && { output: process.stderr }) });
  const ask = () => {
    if (person) terminal.prompt();
  };
  let answering: AbortController | undefined;
  terminal.on('SIGINT', () => (answering ? answering.abort() : terminal.close()));
  try {
    terminal.setPrompt(pc.cyan('you> '));
    ask();
    for await (const line of terminal) {
      if (line.trim() !== '') {
        answering = new AbortController();
        await answer(conversation, line, flags, answering.signal);
        answering = undefined;
      }
      ask();
    }
  } finally {
    terminal.close();
  }
}

async function answer(conversation: Chat, line: string, flags: ChatFlags, signal: AbortSignal): Promise<void> {
  let text = '';
  try {
    for await (const chunk of conversation.send(line, { ...generateOptions(flags), signal })) {
      text += chunk.text;
      if (!flags.json) process.stdout.write(chunk.text);
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  const { bytes, seen } = conversation.session.statistics();
  if (flags.json) console.log(JSON.stringify({ role: 'assistant', content: text, cache: conversation.session.statistics() }));
  else process.stdout.write(`\n${pc.dim(`${seen} tokens seen, cache ${formatBytes(bytes)}`)}\n`);
}
