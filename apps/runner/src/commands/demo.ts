import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseRunConfig, readRun } from '@kvsift/eval';
import { summaryTable, terminalTable } from '@kvsift/report';
import { Command } from 'commander';
import { type BackendChoice, backendOptions } from '../backends.js';
import { demoBudgets, demoPolicies } from '../demo/demo-policies.js';
import { evaluate } from '../evaluation.js';
import { exitCodes } from '../exit-codes.js';
import { whole } from '../number-option.js';
import { checkWritable } from '../output-paths.js';
import { reportOf } from '../run-report.js';
import { writeReport } from '../write-report.js';

interface DemoFlags extends BackendChoice {
  readonly samples: number;
  readonly tokens: number;
  readonly seed: number;
  readonly agnostic?: boolean;
  readonly policies?: readonly string[];
  readonly budgets?: readonly string[];
  readonly report: string;
  readonly json?: boolean;
}

/** Tokens of text per hidden fact. */
const tokensPerFact = 32;

export function demoCommand(): Command {
  const command = new Command('demo')
    .description('Hides facts in long texts and asks the embedded model for them: full cache and every policy at two budgets.')
    .option('--samples <n>', 'texts per row', whole(1, 1000), 20)
    .option('--tokens <n>', 'length of a text', whole(256, 4096), 1024)
    .option('--seed <n>', 'equal seeds give equal texts', whole(0, 4_000_000), 1000)
    .option('--agnostic', 'evict before the question is known')
    .option('--policies <expressions...>', 'policies to compare')
    .option('--budgets <amounts...>', 'budgets to compare')
    .option('--report <file>', 'where the HTML report goes', 'kvsift-report.html')
    .option('--json', 'print JSON')
    .action(demo)
    .addHelpText(
      'after',
      `
Examples:
  kvsift demo
  kvsift demo --tokens 2048 --policies snapkv "adakv(snapkv(window=16))" --budgets 10% 64`,
    );
  for (const option of backendOptions()) command.addOption(option);
  return command;
}

async function demo(flags: DemoFlags): Promise<void> {
  const { samples, tokens, seed, agnostic = false, policies = demoPolicies, budgets = demoBudgets, report, json = false } = flags;
  const facts = Math.floor(tokens / tokensPerFact);
  const config = parseRunConfig(
    {
      models: ['demo'],
      ...{ policies, budgets, seed, backend: flags.backend },
      suites: [{ suite: 'facts', options: { lengths: [tokens], samples, facts } }],
      question: agnostic ? 'agnostic' : 'aware',
    },
    'flags',
  );
  const setting = `${samples} texts of ${tokens} tokens, ${facts} facts of five digits each, question ${agnostic ? 'asked after' : 'known before'} the eviction`;
  await checkWritable(report);
  const started = performance.now();
  const folder = await mkdtemp(join(tmpdir(), 'kvsift-demo-'));
  try {
    const outcome = await evaluate(config, folder, { quiet: json, backend: flags, warmUp: true });
    const { data, rows } = reportOf([await readRun(folder)]);
    await writeReport(report, data, `kvsift demo: ${setting}`);
    if (json) console.log(JSON.stringify({ setting, rows, report: resolve(report) }, null, 2));
    else {
      const seconds = ((performance.now() - started) / 1000).toFixed(0);
      console.log(`${setting}\n${terminalTable(summaryTable(rows, data))}`);
      console.log(`${seconds} s. Report with the tokens that each layer kept: ${resolve(report)}`);
    }
    if (outcome.interrupted) process.exitCode = exitCodes.interrupted;
    else if (outcome.failed > 0) process.exitCode = exitCodes.failed;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
