import { readdir, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { queryFilters, queryStatistics, retrievalHeads, streamingGates, writeFilters, writeStatistics } from '@kvsift/calibrate';
import { load } from '@kvsift/engine';
import { KvsiftError } from '@kvsift/tensor';
import { Argument, Command } from 'commander';
import { type BackendChoice, backendOptions, createBackend } from '../backends.js';
import { modelPath } from '../model-path.js';
import { checkWritable } from '../output-paths.js';
import { Progress } from '../progress.js';
import { readText } from '../run-options.js';

const kinds = ['q-filters', 'query-statistics', 'head-table', 'gates'] as const;

export function calibrateCommand(): Command {
  const command = new Command('calibrate')
    .description('Makes what a policy needs to know about a model, once: filters, statistics of queries, a head table, or gates.')
    .addArgument(
      new Argument(
        '<what>',
        'q-filters: for q-filters; query-statistics: for expected-attention; head-table: for headkv; gates: for duo-attention',
      ).choices(kinds),
    )
    .argument('<model>', 'a .gguf file, a Hugging Face folder, or demo')
    .argument('<texts>', 'a text file, or a folder of .txt files')
    .requiredOption('--out <file>', 'where it goes: .safetensors for q-filters and query-statistics, .json for tables')
    .option('--json', 'print where it is as JSON')
    .addHelpText(
      'after',
      `
Examples:
  kvsift calibrate q-filters model.gguf texts/ --out model.q-filters.safetensors
  kvsift generate model.gguf --policy 'q-filters(filters="model.q-filters.safetensors")' --budget 20% --prompt ...
  kvsift calibrate query-statistics model.gguf texts/ --out model.queries.safetensors
  kvsift calibrate head-table model.gguf texts/ --out model.heads.json`,
    );
  for (const option of backendOptions()) command.addOption(option);
  return command.action(calibrate);
}

async function calibrate(
  what: (typeof kinds)[number],
  target: string,
  textPath: string,
  flags: BackendChoice & { readonly out: string; readonly json?: boolean },
): Promise<void> {
  const texts = await readTexts(textPath);
  await checkWritable(flags.out);
  await using backend = await createBackend(flags);
  using progress = new Progress();
  using model = await load(modelPath(target), { backend });
  const onProgress = (done: number, total: number) => progress.update(`${what}: ${done} of ${total}`);
  const name = basename(target);
  if (what === 'q-filters') await writeFilters(flags.out, await queryFilters(model, texts, { onProgress }), name);
  else if (what === 'query-statistics')
    await writeStatistics(flags.out, await queryStatistics(model, texts, { onProgress }), name);
  else {
    const importance = what === 'gates' ? await streamingGates(model, texts) : await retrievalHeads(model, texts, { onProgress });
    const rounded = importance.map((row) => row.map((value) => Number(value.toFixed(6))));
    await writeFile(flags.out, `${JSON.stringify({ model: name, kind: what, importance: rounded })}\n`);
  }
  progress.clear();
  console.log(flags.json ? JSON.stringify({ file: flags.out }) : `wrote ${flags.out}`);
}

async function readTexts(path: string): Promise<string[]> {
  const names = await readdir(path).catch(() => undefined);
  if (names === undefined) return [await readText(path)];
  const files = names.filter((name) => name.endsWith('.txt')).sort();
  if (files.length === 0) throw new KvsiftError('file_not_found', `${path}: expected .txt files in this folder`, { path });
  return Promise.all(files.map((name) => readText(join(path, name))));
}
