import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { fastMode } from './rows/accuracy.js';
import { alone } from './rows/alone.js';
import { billion } from './rows/billion.js';
import { machine } from './rows/machine.js';
import { writePage } from './rows/page.js';
import { Printer } from './rows/row.js';
import type { Setting } from './rows/setting.js';
import { type Format, smollm2 } from './rows/smollm2.js';
import { startToFirstToken } from './rows/start.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const cache = join(root, 'node_modules/.cache/kvsift-bench');
const command = new Command('bench:peers')
  .description('Measures kvsift against llama.cpp (node-llama-cpp) and PyTorch on the same files, interleaved, two threads each.')
  .option('--json', 'print JSON lines')
  .option(
    '--page <name>',
    'write the table into docs/benchmarks/<name>.md: cpu, cpu-amx on a CPU with AMX, cpu-avx2 on one without AVX-512',
  )
  .option('--quick', 'the short rows of one format only')
  .option('--no-billion', 'leave out the 1B shape (its random weights take 2 GB of the cache folder)')
  .option('--model <gguf>', 'SmolLM2-135M as Q4_1', resolve(root, '../shared/models/smollm2-135m-instruct-q4_1.gguf'))
  .option('--texts <folder>', 'held-out texts for the accuracy of the fast mode', resolve(root, '../shared/data/haystack'))
  .option('--formats <list>', 'q4_1,q4_0,q8_0', 'q4_1,q4_0,q8_0')
  .option('--python <path>', 'a Python with torch and transformers; without it PyTorch is left out')
  .option('--repeat <n>', 'repetitions per row', '3')
  .parse();
const options = command.opts<{
  json?: boolean;
  page?: string;
  quick?: boolean;
  billion: boolean;
  model: string;
  texts: string;
  formats: string;
  python?: string;
  repeat: string;
}>();

/** node-llama-cpp with its CPU binary only, in a folder of the cache. */
function installLlama(): string {
  const folder = join(cache, 'peers');
  if (!existsSync(join(folder, 'node_modules/@node-llama-cpp/linux-x64'))) {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'package.json'), '{"private":true}');
    const npm = (...args: string[]) =>
      execFileSync('npm', ['install', '--omit=optional', '--ignore-scripts', '--no-audit', '--no-fund', '--force', ...args], {
        cwd: folder,
        stdio: 'ignore',
      });
    npm('node-llama-cpp@3.22.1');
    npm('@node-llama-cpp/linux-x64@3.22.1');
  }
  return folder;
}

const quick = options.quick === true;
const setting: Setting = {
  printer: new Printer(options.json === true),
  model: options.model,
  cache,
  llama: installLlama(),
  ...(options.python && { python: options.python }),
  repeat: Number(options.repeat),
  quick,
};
const { printer } = setting;
printer.title(
  `${cpus()[0]?.model}, ${cpus().length} cores, load ${loadavg()[0]?.toFixed(2)}; tokens/s, medians; ratio to the best peer of the row`,
);
for (const format of quick ? ['q4_1'] : options.formats.split(',')) await smollm2(setting, format as Format);
await alone(setting);
await startToFirstToken(setting);
if (!quick) {
  machine(setting);
  await fastMode(setting, options.texts);
  if (options.billion) for (const type of ['q4_0', 'q8_0'] as const) await billion(setting, type);
}
if (options.page) printer.title(`wrote ${writePage(root, options.page, printer.rows, printer.notes)}`);
