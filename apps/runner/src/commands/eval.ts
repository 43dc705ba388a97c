import { readFile, writeFile } from 'node:fs/promises';
import { parseRunConfig, type RunConfig, type RunOutcome, readRun, readRunConfig, runFolder } from '@kvsift/eval';
import { KvsiftError } from '@kvsift/tensor';
import { Command, Option } from 'commander';
import { deviationLines } from '../deviations.js';
import { evaluate } from '../evaluation.js';
import { exitCodes } from '../exit-codes.js';
import { whole } from '../number-option.js';
import { collect } from '../repeated-option.js';
import { readText, redisUrl } from '../run-options.js';
import { reportJson, reportOf, reportText } from '../run-report.js';
import { suiteKinds } from '../suites.js';
import { exampleConfig } from './eval-example.js';

/** Flags of `run` and `resume`. */
interface GoOnFlags {
  readonly redis?: string;
  readonly mix?: boolean;
  readonly retryFailed?: boolean;
  readonly json?: boolean;
}

interface RunFlags extends GoOnFlags {
  readonly out: string;
  readonly model?: readonly string[];
  readonly policy?: readonly string[];
  readonly budget?: readonly string[];
  readonly suite?: readonly string[];
  readonly task?: readonly string[];
  readonly limit?: number;
  readonly question?: string;
  readonly backend?: string;
  readonly seed?: number;
  readonly sharePrefill?: boolean;
}

const redisHelp = 'have the answers computed by workers at this Redis or Valkey: see kvsift worker';
const retryHelp = 'run samples again whose stored results are errors';

export function evalCommand(): Command {
  const listed = Object.entries(suiteKinds).map(([name, { description }]) => `  ${name.padEnd(14)} ${description}`);
  return new Command('eval')
    .description('Evaluates models × policies × budgets × suites; an interrupted run continues where it stopped.')
    .addHelpText(
      'after',
      `
Suites:
${listed.join('\n')}

Examples:
  kvsift eval init run.yaml
  kvsift eval run run.yaml --out runs/first
  kvsift eval run --model demo --policy snapkv --policy streaming-llm --budget 20% --suite facts --out runs/demo
  kvsift eval resume runs/first`,
    )
    .addCommand(initCommand())
    .addCommand(runCommand())
    .addCommand(resumeCommand());
}

function initCommand(): Command {
  return new Command('init')
    .description('Writes a run file to start from.')
    .argument('[file]', 'where to write it', 'run.yaml')
    .option('--json', 'print where it is as JSON')
    .addHelpText('after', '\nExamples:\n  kvsift eval init run.yaml && kvsift eval run run.yaml --out runs/first')
    .action(async (file: string, { json = false }: { json?: boolean }) => {
      await writeFile(file, exampleConfig, { flag: 'wx' }).catch((error: NodeJS.ErrnoException) => {
        const reason = error.code === 'EEXIST' ? 'is there already' : `cannot be written: ${error.message.replace(/,.*/, '')}`;
        const code = error.code === 'EEXIST' ? 'invalid_argument' : 'file_unreadable';
        throw new KvsiftError(code, `${file} ${reason}`, { path: file }, { cause: error });
      });
      if (json) console.log(JSON.stringify({ file }));
      else console.error(`wrote ${file}; next: kvsift eval run ${file} --out runs/first`);
    });
}

function runCommand(): Command {
  return new Command('run')
    .description('Runs a file, or what the flags say; flags replace what the file says.')
    .argument('[file]', 'YAML or JSON, see `kvsift eval init`')
    .requiredOption('--out <folder>', 'folder of the run; results that it has are not made again')
    .option('--model <path>', 'a model; may be given several times, as the next three', collect)
    .option('--policy <expression>', 'a policy', collect)
    .option('--budget <amount>', 'a budget; may be left out where every policy ignores budgets', collect)
    .option('--suite <name>', 'a suite with its default options', collect)
    .option('--task <name>', 'a task of the suites; default: all, or what the file says', collect)
    .option('--limit <n>', 'most samples per task of the suites', whole(1))
    .addOption(new Option('--question <when>', 'when the policy may see the question').choices(['aware', 'agnostic']))
    .addOption(new Option('--backend <name>', 'what computes').choices(['cpu', 'cuda', 'reference']))
    .option('--seed <number>', 'seed of samples and random policies', whole(0))
    .option('--share-prefill', 'read each prompt once for all policies: faster, and no policy has a time of reading of its own')
    .option('--redis <url>', redisHelp, redisUrl)
    .option('--mix', 'go on although code, machine or data have changed since the stored results were made')
    .option('--retry-failed', retryHelp)
    .option('--json', 'print the summary as JSON')
    .addHelpText(
      'after',
      `
Examples:
  kvsift eval run run.yaml --out runs/first
  kvsift eval run run.yaml --limit 1 --out runs/try
  kvsift eval run --model demo --policy snapkv --policy streaming-llm --budget 20% --suite facts --out runs/demo
  kvsift eval run run.yaml --out runs/shared --redis redis://10.0.0.5:6379`,
    )
    .action(async (file: string | undefined, flags: RunFlags) => {
      const config = await configOf(file, flags);
      await runInto(config, flags.out, flags);
    });
}

function resumeCommand(): Command {
  return new Command('resume')
    .description('Continues the run of a folder.')
    .argument('<folder>', 'folder of the run')
    .option('--redis <url>', redisHelp, redisUrl)
    .option('--mix', 'go on although code, machine or data have changed since the stored results were made')
    .option('--retry-failed', retryHelp)
    .option('--json', 'print the summary as JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  kvsift eval resume runs/first\n  kvsift eval resume runs/first --retry-failed\n  kvsift eval resume runs/shared --redis redis://10.0.0.5:6379',
    )
    .action(async (folder: string, flags: GoOnFlags) => {
      const path = runFolder(folder).config;
      const text = await readFile(path, 'utf8').catch((cause) => {
        throw new KvsiftError('file_not_found', `${folder}: expected the folder of a run (with run.yaml)`, { path }, { cause });
      });
      await runInto(readRunConfig(text, path), folder, flags);
    });
}

async function configOf(file: string | undefined, flags: RunFlags): Promise<RunConfig> {
  const base = file === undefined ? undefined : readRunConfig(await readText(file), file);
  const chosen = { ...(flags.task && { tasks: flags.task }), ...(flags.limit !== undefined && { limit: flags.limit }) };
  const suites = (flags.suite?.map((suite) => ({ suite })) ?? base?.suites)?.map((setting) => ({ ...setting, ...chosen }));
  const given = {
    models: flags.model,
    policies: flags.policy,
    budgets: flags.budget,
    suites,
    question: flags.question,
    backend: flags.backend,
    seed: flags.seed,
    sharePrefill: flags.sharePrefill,
  };
  const replaced = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  const missing = ['model', 'policy', 'suite'].filter((name) => file === undefined && !(name in flags));
  if (missing.length > 0) {
    const names = missing.map((name) => `--${name}`).join(', ');
    throw new KvsiftError('invalid_argument', `what shall run? Give a run file (kvsift eval init makes one) or ${names}`);
  }
  return parseRunConfig({ ...base, ...replaced }, file ?? 'flags');
}

async function runInto(
  config: RunConfig,
  folder: string,
  { mix = false, retryFailed = false, json = false, redis }: GoOnFlags,
): Promise<void> {
  const outcome = await evaluate(config, folder, { mix, retryFailed, quiet: json, ...(redis !== undefined && { redis }) });
  const report = reportOf([await readRun(folder)], mix);
  if (json) console.log(JSON.stringify({ outcome, ...reportJson(report) }, null, 2));
  else {
    console.log(reportText(report));
    for (const line of deviationLines(config.policies)) console.log(`differs from the publication: ${line}`);
    console.log(closingLine(outcome, folder, redis));
  }
  if (outcome.interrupted) process.exitCode = exitCodes.interrupted;
  else if (outcome.failed > 0 || outcome.failures.length > 0) process.exitCode = exitCodes.failed;
}

function closingLine(
  { done, total, failed, failures, interrupted }: RunOutcome,
  folder: string,
  redis: string | undefined,
): string {
  const trouble = failed + failures.length > 0 ? `, ${failed} samples and ${failures.length} data rows or tasks failed` : '';
  const shared = redis === undefined ? '' : ` --redis ${redis}`;
  const resume = `kvsift eval resume ${folder}${shared}`;
  const onward = `; ${shared && 'its workers go on; '}continue with: ${resume}`;
  const again = failed > 0 ? `; try those samples again with: ${resume} --retry-failed` : '';
  return `${done} of ${total} results in ${folder}${trouble}${interrupted ? onward : again}`;
}
