import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import { currentCommit, parseRunConfig } from '@kvsift/eval';
import type { WorkerEvent } from '@kvsift/eval-queue';
import { allPolicies, registryFor } from '@kvsift/policies';
import { Command } from 'commander';
import { openEngine } from '../evaluation.js';
import { interruption } from '../interruption.js';
import { whole } from '../number-option.js';
import { Progress } from '../progress.js';
import { collect } from '../repeated-option.js';
import { redisUrl } from '../run-options.js';
import { connectionRemark } from '../shared-evaluation.js';
import { codeFolder, version } from '../version.js';

interface WorkerFlags {
  readonly redis: string;
  readonly models?: string;
  readonly threads?: number;
  readonly policy?: readonly string[];
  readonly lease: number;
  readonly once?: boolean;
  readonly mix?: boolean;
  readonly json?: boolean;
}

export function workerCommand(): Command {
  return new Command('worker')
    .description('Computes answers for evaluations that other machines share: kvsift eval run … --redis URL.')
    .requiredOption('--redis <url>', 'address of the Redis or Valkey, such as redis://10.0.0.5:6379', redisUrl)
    .option('--models <folder>', 'where models lie here, if not where the run says')
    .option('--threads <n>', 'threads of the CPU backend (default: the cores it may use)', whole(1))
    .option('--policy <source>', 'folder or package of a policy that is not among those of kvsift policies', collect)
    .option('--lease <seconds>', 'silence after which this worker is taken for dead', whole(1), 30)
    .option('--once', 'end when no run waits for workers')
    .option('--mix', 'take part although code or model differ from those of the run')
    .option('--json', 'print one JSON line per event')
    .action(work)
    .addHelpText(
      'after',
      `
Ctrl-C once finishes the sample in flight, twice stops; the sample then goes to another worker.

Examples:
  kvsift worker --redis redis://10.0.0.5:6379
  kvsift worker --redis redis://10.0.0.5:6379 --models /data/models --threads 8 --once
  kvsift worker --redis redis://10.0.0.5:6379 --policy ./my-policy`,
    );
}

async function work(flags: WorkerFlags): Promise<void> {
  const { redis, models, threads, policy = [], lease, once = false, mix = false, json = false } = flags;
  // Other commands start faster without the client of the queue.
  const { runWorker } = await import('@kvsift/eval-queue');
  const registry = await registryFor(policy, allPolicies());
  using progress = new Progress(json);
  const place = (path: string) =>
    models === undefined || path === 'demo' || existsSync(path) ? path : join(models, basename(path));
  progress.step(`waiting for work at ${new URL(redis).host}`);
  const answered = await runWorker({
    url: redis,
    registry,
    // The run's own settings, read like those of a file.
    openEngine: ({ path, ...model }, { backend, kvType }) => {
      const setting = { models: ['-'], policies: ['-'], budgets: ['-'], suites: ['-'], backend, ...(kvType && { kvType }) };
      const config = parseRunConfig(setting, 'the shared run');
      return openEngine({ ...model, path: place(path) }, config, { backend: threads === undefined ? {} : { threads } });
    },
    code: { version: version(), commit: await currentCommit(codeFolder) },
    lease: lease * 1000,
    once,
    mix,
    finish: interruption(),
    onEvent: (event) => {
      if (!json) show(event, progress);
      else if (event.type !== 'reading') console.log(JSON.stringify(event));
    },
  });
  progress.clear();
  console.log(json ? JSON.stringify({ answered }) : `${answered} requests answered`);
}

const remedies = {
  likeness: '--mix works for it all the same',
  policy: '--policy takes the folder or package of a policy',
  model: '--models takes the folder where models lie here',
} as const;

function show(event: WorkerEvent, progress: Progress): void {
  switch (event.type) {
    case 'joined':
      progress.step(`working for run ${event.run}`);
      break;
    case 'left':
      progress.step('waiting for work');
      break;
    case 'lost':
    case 'back':
      progress.remark(connectionRemark(event.type === 'back'));
      break;
    case 'refused':
      progress.remark(`no part in run ${event.run}: ${event.reason}; ${remedies[event.lacks]}`);
      break;
    case 'failed':
      progress.remark(`failed: ${event.message}${event.left > 0 ? `; ${event.left} more tries` : '; set aside'}`);
      break;
    case 'answered':
      progress.update(`${event.total} requests answered, the last in ${event.seconds.toFixed(1)} s`);
      break;
    case 'reading':
      progress.share(event.share, 1);
  }
}
