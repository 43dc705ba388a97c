import { writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { demoModelPath } from '@kvsift/demo-model';
import { load } from '@kvsift/engine';
import { allPolicies } from '@kvsift/policies';
import Table from 'cli-table3';
import { Command, InvalidArgumentError } from 'commander';
import { type BackendChoice, backendOptions, createBackend } from '../backends.js';
import { demoPage } from '../demo/demo-page.js';
import { demoBudgets, demoPolicies } from '../demo/demo-policies.js';
import { type DemoResult, runDemo } from '../demo/run-demo.js';
import { formatBytes } from '../format.js';
import { interruption } from '../interruption.js';
import { Progress } from '../progress.js';

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

const whole = (low: number, high: number) => (text: string) => {
  const value = Number(text);
  if (text.trim() !== '' && Number.isInteger(value) && value >= low && value <= high) return value;
  throw new InvalidArgumentError(`expected a whole number from ${low} to ${high}`);
};

export function demoCommand(): Command {
  const command = new Command('demo')
    .description('Hides facts in long texts and asks the embedded model for them: full cache and every policy at two budgets.')
    .option('--samples <n>', 'texts per row', whole(1, 1000), 20)
    .option('--tokens <n>', 'length of a text', whole(256, 4096), 1024)
    .option('--seed <n>', 'equal seeds give equal texts', whole(0, 4_000_000), 1)
    .option('--agnostic', 'evict before the question is known')
    .option('--policies <expressions...>', 'policies to compare')
    .option('--budgets <amounts...>', 'budgets to compare')
    .option('--report <file>', 'where the HTML report goes', 'kvsift-report.html')
    .option('--json', 'print JSON')
    .action(demo);
  for (const option of backendOptions()) command.addOption(option);
  return command;
}

async function demo(flags: DemoFlags): Promise<void> {
  const signal = interruption();
  const registry = allPolicies();
  const policies = (flags.policies ?? demoPolicies).map((name) => ({ name, policy: registry.parse(name) }));
  using progress = new Progress(flags.json);
  await using backend = await createBackend(flags);
  progress.step('loading the embedded model');
  using model = await load(demoModelPath(), { backend, signal });
  const facts = Math.floor(flags.tokens / 32);
  progress.step(
    `asking for facts in ${flags.samples} texts of ${flags.tokens} tokens with ${facts} facts each, ${backend.info.description}`,
  );
  const started = performance.now();
  const result = await runDemo({
    model,
    policies,
    budgets: flags.budgets ?? demoBudgets,
    samples: flags.samples,
    tokens: flags.tokens,
    facts,
    seed: flags.seed,
    agnostic: flags.agnostic === true,
    signal,
    onProgress: (done, total) => progress.share(done, total),
  });
  progress.clear();
  const setting = `${flags.samples} texts of ${flags.tokens} tokens, ${facts} facts of five digits each, question ${flags.agnostic ? 'asked after' : 'known before'} the eviction`;
  await writeFile(flags.report, demoPage(result, setting));
  if (flags.json) console.log(JSON.stringify({ setting, rows: result.rows, report: resolve(flags.report) }, null, 2));
  else {
    console.log(`${setting}\n${table(result)}`);
    console.log(
      `${((performance.now() - started) / 1000).toFixed(0)} s. Report with the tokens that each layer kept: ${resolve(flags.report)}`,
    );
  }
}

function table({ rows }: DemoResult): string {
  const out = new Table({
    head: ['policy', 'budget', 'right', 'cache', 'prefill', 'decode'],
    colAligns: ['left', 'right', 'right', 'right', 'right', 'right'],
    style: { head: [] },
  });
  for (const row of rows) {
    out.push([
      row.policy,
      row.budget,
      `${Math.round((100 * row.right) / row.samples)} % (n = ${row.samples})`,
      formatBytes(row.cacheBytes),
      `${(1000 * row.prefillSeconds).toFixed(0)} ms`,
      `${row.decodeTokensPerSecond.toFixed(0)} tokens/s`,
    ]);
  }
  return out.toString();
}
