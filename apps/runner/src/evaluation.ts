import {
  type EvalEngine,
  type ModelSetting,
  openLanguageModel,
  type RunConfig,
  type RunEvent,
  type RunOutcome,
  runEvaluation,
} from '@kvsift/eval';
import { allPolicies, registryFor } from '@kvsift/policies';
import { formatBytes, formatSeconds } from '@kvsift/report';
import { type BackendChoice, createBackend } from './backends.js';
import { interruption } from './interruption.js';
import { modelPath } from './model-path.js';
import { checkFolder } from './output-paths.js';
import { Progress } from './progress.js';
import { connectionRemark, sharedRequests, shareRun } from './shared-evaluation.js';
import { dataOptions, makeSuite, withAbsolutePaths } from './suites.js';
import { codeFolder, version } from './version.js';

export interface EvaluationOptions {
  /** Go on although the stored results were made under other circumstances. */
  readonly mix?: boolean;
  /** Run samples again that failed. */
  readonly retryFailed?: boolean;
  /** Say nothing about progress. */
  readonly quiet?: boolean;
  readonly backend?: BackendChoice;
  /** Have the answers computed by workers at this Redis. */
  readonly redis?: string;
  /** Read the first context once before it counts: what it pays for memory does not show in its time. */
  readonly warmUp?: boolean;
}

/** Runs an evaluation into a folder: progress on standard error, Ctrl-C once finishes the sample, twice stops. */
export async function evaluate(settings: RunConfig, folder: string, options: EvaluationOptions = {}): Promise<RunOutcome> {
  await checkFolder(folder);
  const config = withAbsolutePaths(settings);
  using progress = new Progress(options.quiet);
  const registry = await registryFor(config.policies, allPolicies());
  const finish = interruption();
  await using shared =
    options.redis === undefined
      ? undefined
      : await shareRun(options.redis, folder, config, registry, {
          finish,
          onRefused: (worker, reason) => progress.remark(`worker ${worker} takes no part: ${reason}`),
          onConnection: (isThere) => progress.remark(connectionRemark(isThere)),
        });
  if (shared) progress.remark(`${await shared.workers()} workers are there; more with: kvsift worker --redis ${options.redis}`);
  progress.step('looking at models and samples');
  const outcome = await runEvaluation(config, folder, {
    registry,
    suite: makeSuite,
    openEngine: async (model) => {
      const engine = await openEngine(model, config, options);
      return shared?.engine(model, engine) ?? engine;
    },
    code: { version: version(), folder: codeFolder },
    dataOptions,
    mix: options.mix ?? false,
    retryFailed: options.retryFailed ?? false,
    finish,
    // What is queued stays queued: there is nothing to finish here.
    ...(shared && { concurrency: sharedRequests, signal: finish }),
    onEvent: (event) => show(event, progress),
  });
  if (!outcome.interrupted) await shared?.close();
  return outcome;
}

function show(event: RunEvent, progress: Progress): void {
  switch (event.type) {
    case 'planned':
      for (const { suite, task, message } of event.failures) progress.remark(`${suite} ${task}: left out: ${message}`);
      if (event.done > 0) {
        const errors = event.failed > 0 ? `, ${event.failed} of them errors, which --retry-failed runs again` : '';
        progress.remark(`${event.done} of ${event.total} results are stored already${errors}`);
      }
      progress.step(`${event.total - event.done} samples to run`);
      break;
    case 'memory': {
      const { model, suite, tokens, needed, available } = event;
      const there = available === undefined ? '' : ` of ${formatBytes(available)}`;
      const what = `${model}, ${suite}: the longest sample, ${tokens} tokens, needs about ${formatBytes(needed)}${there}`;
      if (available !== undefined && needed > available) progress.remark(`${what}: it will fail`);
      else progress.step(what);
      break;
    }
    case 'repaired':
      progress.remark(`removed a torn last line (${event.bytes} bytes) from results.jsonl`);
      break;
    case 'result': {
      const { task, label, budget } = event.result;
      const seconds = event.done < event.total ? event.remainingSeconds : undefined;
      const left = seconds === undefined ? '' : `, about ${formatSeconds(seconds)} left`;
      progress.update(`${event.done}/${event.total} ${task} ${label} ${budget}${left}`);
      break;
    }
    case 'reading':
      progress.share(event.share, 1);
  }
}

/** Opens a model of a run. The caller disposes it. */
export async function openEngine(model: ModelSetting, config: RunConfig, options: EvaluationOptions): Promise<EvalEngine> {
  const backend = await createBackend({ ...options.backend, backend: config.backend });
  try {
    return await openLanguageModel(modelPath(model.path), {
      backend,
      warmUp: options.warmUp ?? false,
      ...(config.kvType && { kvType: config.kvType }),
      ...(model.contextLength !== undefined && { contextLength: model.contextLength }),
    });
  } catch (error) {
    await backend.dispose();
    throw error;
  }
}
