import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { type EvalRow, evalPage } from './eval/page.js';
import { timeRun } from './eval/time-run.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const command = new Command('bench:eval')
  .description(
    'Measures what kvsift eval adds to the work of the model: seconds until the first sample, and the share of its loop.',
  )
  .option('--json', 'print JSON lines')
  .option('--model <path>', 'model', join(root, '../shared/models/smollm2-135m-instruct-q4_1.gguf'))
  .option('--essays <folder>', 'texts that RULER hides its needles in', join(root, '../shared/data/haystack'))
  .option('--lengths <list>', 'tokens of the prompts', '1024,4096')
  .option('--samples <n>', 'samples per task (two tasks, each under the full cache and SnapKV)', '8')
  .option('--page', 'write docs/benchmarks/eval.md')
  .parse();
const options = command.opts<{
  json?: boolean;
  model: string;
  essays: string;
  lengths: string;
  samples: string;
  page?: boolean;
}>();

const rows: EvalRow[] = [];
const folder = mkdtempSync(join(tmpdir(), 'kvsift-bench-eval-'));
try {
  for (const length of options.lengths.split(',').map(Number)) {
    const config = join(folder, `${length}.json`);
    const ruler = { length, essays: options.essays };
    writeFileSync(
      config,
      JSON.stringify({
        ...{ models: [options.model], policies: ['snapkv'], budgets: ['20%'], retention: 0 },
        suites: [{ suite: 'ruler', tasks: ['niah_single_1', 'vt'], limit: Number(options.samples), options: ruler }],
      }),
    );
    const cli = join(root, 'apps/runner/dist/cli.js');
    const { startSeconds, samples, seconds } = await timeRun(cli, config, join(folder, `${length}`));
    const { total, loading, model } = seconds;
    const facts = { length, samples, modelSeconds: model };
    show({ name: `start, ${length} tokens`, ours: startSeconds, goal: 2, unit: 's', ...facts });
    show({ name: `loop, ${length} tokens`, ours: 1 - model / (total - loading), goal: 0.01, unit: 'share', ...facts });
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
if (options.page) {
  const path = join(root, 'docs/benchmarks/eval.md');
  const commit = execFileSync('git', ['rev-parse', '--short=12', 'HEAD'], { cwd: root, encoding: 'utf8' }).trim();
  writeFileSync(path, evalPage(rows, { commit, machine: `${cpus()[0]?.model}, ${availableParallelism()} cores` }));
  console.log(`wrote ${path}`);
}

function show(row: EvalRow): void {
  rows.push(row);
  if (options.json) {
    console.log(JSON.stringify(row));
    return;
  }
  const text = (value: number) => (row.unit === 's' ? `${value.toFixed(2)} s` : `${(100 * value).toFixed(2)} %`);
  const mark = row.ours <= row.goal ? 'ok  ' : 'miss';
  const run = `${row.samples} samples, ${row.modelSeconds.toFixed(1)} s of the model`;
  console.log(`${mark} ${row.name.padEnd(20)}${text(row.ours).padStart(8)} (goal ${text(row.goal)}; ${run})`);
}
