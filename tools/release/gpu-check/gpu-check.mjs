// ./gpu-check: runs all checks of the bundle on this machine's GPU, stage by stage, and writes gpu-check.json and gpu-check.md. Started again it goes on where
// it stopped: what passed is not run again, unless it was another bundle or another GPU.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { runInside } from './inside.mjs';
import { gpuName } from './machine.mjs';
import { report } from './report.mjs';
import { remainder, unfinished } from './sanitize.mjs';
import { bundle, stages } from './stages.mjs';

const usage = `usage: ./gpu-check [--list] [--only <stage,...>] [--again] [--models <folder>] [--out <folder>]
  --list    names the stages and what became of them
  --only    runs these alone
  --again   runs also what has passed
  --models  folder of models that golden cases name; without it such cases are skipped
  --out     where gpu-check.json and gpu-check.md are (default: here)`;

/** Longest time of a stage. */
const minutes = 8;

/** Without these nothing else can run: they always do. What was built takes a second. */
const needed = ['machine', 'build'];

const paths = bundle(fileURLToPath(new URL('..', import.meta.url)));
const { values } = (() => {
  try {
    return parseArgs({
      options: {
        ...{ list: { type: 'boolean' }, only: { type: 'string' }, again: { type: 'boolean' }, help: { type: 'boolean' } },
        ...{ models: { type: 'string' }, out: { type: 'string', default: process.cwd() }, inside: { type: 'string' } },
      },
    });
  } catch (error) {
    console.error(`${error.message}\n${usage}`);
    process.exit(2);
  }
})();
if (values.help) {
  console.log(usage);
  process.exit(0);
}
if (values.inside !== undefined) {
  try {
    process.exit(await runInside(values.inside, paths, JSON.parse(process.env.KVSIFT_CHECK_BEFORE ?? 'null') ?? undefined));
  } catch (error) {
    // The last line is what is shown of a stage.
    console.error(error.stack);
    console.error(error.message.split('\n')[0]);
    process.exit(1);
  }
}

const all = stages(paths, { models: values.models });
const wanted = values.only?.split(',');
const unknown = wanted?.find((name) => !all.some((stage) => stage.name === name));
if (unknown !== undefined) {
  console.error(`gpu-check: there is no stage "${unknown}"; --list names them`);
  process.exit(2);
}
const jsonPath = join(values.out, 'gpu-check.json');
const { commit } = JSON.parse(readFileSync(join(paths.folder, 'package.json'), 'utf8'));
/** What results belong to. */
const about = { commit, gpu: gpuName() ?? 'no GPU' };
const results = readResults();
if (values.list) {
  for (const { name, what } of all) console.log(`${name.padEnd(32)} ${(results[name]?.outcome ?? 'not run').padEnd(8)} ${what}`);
  process.exit(0);
}

for (const stage of all) {
  if (wanted !== undefined && !wanted.includes(stage.name)) continue;
  if (!values.again && results[stage.name]?.outcome === 'passed' && !needed.includes(stage.name)) {
    console.log(`${stage.name}: passed before`);
    continue;
  }
  const result = runStage(stage, values.again ? undefined : results[stage.name]);
  results[stage.name] = result;
  save();
  console.log(`${stage.name}: ${result.outcome} after ${result.seconds} s${result.last ? `: ${result.last}` : ''}`);
  if (result.outcome !== 'passed' && needed.includes(stage.name)) break;
}
const failed = Object.values(results).filter(({ outcome }) => outcome !== 'passed').length;
console.log(`${jsonPath} and gpu-check.md: ${Object.keys(results).length} of ${all.length} stages run, ${failed} not passed`);
process.exit(failed > 0 || Object.keys(results).length < (wanted?.length ?? all.length) ? 1 : 0);

function readResults() {
  if (!existsSync(jsonPath)) return {};
  try {
    const { stages: found, ...other } = JSON.parse(readFileSync(jsonPath, 'utf8'));
    // Without a GPU nothing runs, so nothing is lost.
    if (gpuName() === undefined) about.gpu = other.gpu;
    if (values.list || (other.commit === about.commit && other.gpu === about.gpu)) return found;
    console.log(
      `${jsonPath} is about commit ${other.commit} on ${other.gpu}, this is ${about.commit} on ${about.gpu}: everything runs anew`,
    );
    return {};
  } catch {
    console.error(`gpu-check: ${jsonPath} is not a result of gpu-check; move it away, or choose another folder with --out`);
    process.exit(2);
  }
}

/** `before`: what became of it the last time. */
function runStage(stage, before) {
  const [program, ...args] = stage.inside ? [process.execPath, paths.check, '--inside', stage.name] : stage.command;
  console.log(`> ${stage.name}: ${stage.what}`);
  const started = Date.now();
  const { status, signal, stdout, stderr, error } = spawnSync(program, args, {
    encoding: 'utf8',
    timeout: minutes * 60_000,
    maxBuffer: 1 << 28,
    env: {
      ...process.env,
      ...(before?.outcome === 'unfinished' && { KVSIFT_CHECK_BEFORE: JSON.stringify(remainder(before.output)) }),
    },
  });
  const output = `${stdout ?? ''}${stderr ?? ''}`.trim();
  const late = signal !== null && error?.code === 'ETIMEDOUT';
  return {
    outcome: late ? 'too long' : status === 0 ? 'passed' : stage.inside && status === unfinished ? 'unfinished' : 'failed',
    seconds: Math.round((Date.now() - started) / 1000),
    last: late ? `stopped after ${minutes} minutes` : (error?.message ?? output.split('\n').at(-1) ?? ''),
    output: output.slice(-100_000),
    at: new Date(started).toISOString(),
  };
}

/** Whole files or none: a check that is stopped half-way loses nothing. */
function save() {
  const write = (path, text) => {
    writeFileSync(`${path}.part`, text);
    renameSync(`${path}.part`, path);
  };
  write(jsonPath, `${JSON.stringify({ ...about, stages: results }, null, 2)}\n`);
  write(join(values.out, 'gpu-check.md'), report(about, all, results));
}
