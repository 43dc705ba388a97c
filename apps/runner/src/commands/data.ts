import { dirname } from 'node:path';
import { downloadFile, type HubOptions, listFiles } from '@kvsift/eval-hub';
import { Command, Option } from 'commander';
import { interruption } from '../interruption.js';
import { Progress } from '../progress.js';

interface DataFlags {
  readonly revision: string;
  readonly type: 'dataset' | 'model';
  readonly endpoint?: string;
  readonly cache?: string;
  readonly offline?: boolean;
  readonly list?: boolean;
  readonly json?: boolean;
}

export function dataCommand(): Command {
  return new Command('data')
    .description('Fetches files from the Hugging Face hub into the shared cache and prints their folder.')
    .argument('<repository>', 'owner/name')
    .argument('[files...]', 'files in it; default: all JSON-lines files of its top folder')
    .option('--revision <name>', 'branch, tag or commit', 'main')
    .addOption(new Option('--type <kind>', 'kind of repository').choices(['dataset', 'model']).default('dataset'))
    .option('--endpoint <url>', 'a mirror of the hub (default: HF_ENDPOINT, else https://huggingface.co)')
    .option('--cache <folder>', 'where files go (default: the folder that Hugging Face tools share)')
    .option('--offline', 'use what the cache has')
    .option('--list', 'print the files that there are, fetch nothing')
    .option('--json', 'print JSON')
    .action(fetchData)
    .addHelpText(
      'after',
      `
Set HF_TOKEN for private and gated repositories. Interrupted downloads go on where they stopped.

Examples:
  kvsift data xinrongzhang2022/InfiniteBench passkey.jsonl
  kvsift data HuggingFaceTB/SmolLM2-135M-Instruct --type model --list`,
    );
}

async function fetchData(repo: string, files: readonly string[], flags: DataFlags): Promise<void> {
  const { type, revision, endpoint, cache, offline, list, json = false } = flags;
  using progress = new Progress(json);
  const hub: HubOptions = {
    ...(endpoint !== undefined && { endpoint }),
    ...(cache !== undefined && { cache }),
    ...(offline && { offline }),
    signal: interruption(),
  };
  const source = { repo, type, revision, ...hub };
  if (list) {
    const found = await listFiles(source);
    if (json) console.log(JSON.stringify(found, null, 2));
    else for (const { path, size } of found) console.log(`${path}\t${size}`);
    return;
  }
  const wanted =
    files.length > 0 ? files : (await listFiles(source)).map(({ path }) => path).filter((path) => /^[^/]+\.jsonl$/.test(path));
  const folders = new Set<string>();
  for (const path of wanted) {
    progress.step(`fetching ${path}`);
    const onProgress = (done: number, total: number) => progress.update(`${path}: ${megabytes(done)} of ${megabytes(total)}`);
    folders.add(dirname(await downloadFile({ ...source, path, onProgress })));
  }
  progress.clear();
  if (json) console.log(JSON.stringify([...folders], null, 2));
  else for (const folder of folders) console.log(folder);
}

const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
