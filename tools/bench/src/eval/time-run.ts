import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { Result, RunOutcome, RunSeconds } from '@kvsift/eval';

/** Between two looks for the first result; none is taken after it, so that nothing competes with the run. */
const lookMilliseconds = 5;

/** What a run of `kvsift eval` took. */
export interface TimedRun {
  /** From the start of the process to that of the first sample, without loading weights. */
  readonly startSeconds: number;
  readonly samples: number;
  readonly seconds: RunSeconds;
}

/** Runs a run file in a process of its own. @throws Error with what it printed where it fails */
export async function timeRun(cli: string, config: string, folder: string): Promise<TimedRun> {
  const spawned = performance.now();
  const child = spawn(process.execPath, [cli, 'eval', 'run', config, '--out', folder, '--json']);
  let printed = '';
  let complaints = '';
  child.stdout.on('data', (part) => {
    printed += part;
  });
  child.stderr.on('data', (part) => {
    complaints += part;
  });
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
  let firstLine: string | undefined;
  while (firstLine === undefined && child.exitCode === null) {
    await setTimeout(lookMilliseconds);
    firstLine = lineOf(join(folder, 'results.jsonl'));
  }
  const firstSeconds = (performance.now() - spawned) / 1000;
  if ((await ended) !== 0) throw new Error(`kvsift eval run ${config} failed: ${complaints}`);
  const { outcome } = JSON.parse(printed) as { readonly outcome: RunOutcome };
  if (firstLine === undefined || outcome.seconds === undefined) throw new Error(`no results: ${complaints}`);
  const { prefillSeconds, firstTokenSeconds = 0, decodeSeconds } = JSON.parse(firstLine) as Result;
  const sample = prefillSeconds + firstTokenSeconds + decodeSeconds;
  const { seconds, added: samples } = outcome;
  return { startSeconds: firstSeconds - sample - seconds.loading, samples, seconds };
}

/** The first whole line of a file. */
function lineOf(path: string): string | undefined {
  try {
    const [line, ...rest] = readFileSync(path, 'utf8').split('\n');
    return rest.length > 0 ? line : undefined;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
