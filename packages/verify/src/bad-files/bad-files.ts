import { basename, join } from 'node:path';
import { configFromHuggingFace } from '@kvsift/models';
import { type ErrorCode, isKvsiftError } from '@kvsift/tensor';
import { loadTokenizer } from '@kvsift/tokenizer';
import { openWeights, readJsonFile, readModelConfig } from '@kvsift/weights';
import { z } from 'zod';
import type { SuiteRun } from '../suite.js';
import { describe } from '../tally.js';
import { surroundIndex, withModelFolder } from './model-folder.js';

const listSchema = z.array(z.looseObject({ file: z.string(), wrong: z.string(), expect: z.enum(['reject', 'accept']) }));
type Case = z.infer<typeof listSchema>[number];

/** Codes with which a file may be refused; anything else is an accident. */
const refusals: readonly ErrorCode[] = [
  'file_malformed',
  'file_not_found',
  'config_invalid',
  'model_unsupported',
  'tokenizer_invalid',
  'unsupported',
];
const longestMs = 10_000;
/** Growth of the peak resident memory that one file may cause: "a few MB" and what the collector leaves lying about. */
const mostMemoryKiB = 64 * 1024;

/** Opens every file of files.json: those marked `accept` must load, those marked `reject` must be refused by a typed error that names the file. */
export async function badFiles(run: SuiteRun): Promise<void> {
  const path = join(run.folder, 'files.json');
  const cases = listSchema.safeParse(await readJsonFile(path, 'data_malformed'));
  if (!cases.success) return run.tally.fail('files.json', 'expected a list of { file, wrong, expect }');
  for (const each of cases.data) await run.tally.run(each.file, () => judge(run.folder, each));
}

async function judge(folder: string, { file, wrong, expect }: Case): Promise<string | undefined> {
  const open = opener(join(folder, file), expect);
  if (!open) return 'expected *.safetensors, *.gguf, config-*.json, tokenizer-*.json or index-*.json';
  const started = performance.now();
  const peak = process.resourceUsage().maxRSS;
  const error = await open().then(
    () => undefined,
    (reason: unknown) => reason ?? new Error('rejected with nothing'),
  );
  const grown = process.resourceUsage().maxRSS - peak;
  if (performance.now() - started > longestMs) return `took longer than ${longestMs} ms`;
  if (grown > mostMemoryKiB) return `memory grew by ${grown} KiB`;
  if (expect === 'accept') return error === undefined ? undefined : `should load, but: ${describe(error)}`;
  if (error === undefined) return `should be refused (${wrong}), but loads`;
  if (!isKvsiftError(error) || !refusals.includes(error.code)) return `refused by accident: ${describe(error)}`;
  const named = realName(file) ?? file;
  return error.message.includes(named) ? undefined : `the error does not name ${named}: ${error.message}`;
}

/** The name under which a JSON file of the list goes into a model folder. */
function realName(file: string): string | undefined {
  if (!file.endsWith('.json')) return undefined;
  if (basename(file).startsWith('config-')) return 'config.json';
  if (basename(file).startsWith('tokenizer-')) return 'tokenizer.json';
  return basename(file).startsWith('index-') ? 'model.safetensors.index.json' : undefined;
}

function opener(path: string, expect: Case['expect']): (() => Promise<unknown>) | undefined {
  if (/\.(safetensors|gguf)$/.test(path)) return () => openAll(path);
  const name = realName(path);
  if (name === undefined) return undefined;
  return () =>
    withModelFolder(path, name, async (folder) => {
      if (name === 'config.json') return configFromHuggingFace((await readModelConfig(folder)).config, join(folder, name));
      if (name === 'tokenizer.json') return loadTokenizer(folder);
      await surroundIndex(folder, expect === 'accept');
      return openAll(folder);
    });
}

/** Headers and every value, as a model would read them. */
async function openAll(path: string): Promise<void> {
  const file = await openWeights(path);
  for (const tensor of file.tensors.values()) await file.readFloat32(tensor);
}
