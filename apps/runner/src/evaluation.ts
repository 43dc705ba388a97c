import { demoModelPath } from '@kvsift/demo-model';
import {
  type EvalEngine,
  type ModelSetting,
  openLanguageModel,
  type RunConfig,
  type RunEvent,
  type RunOutcome,
  runEvaluation,
} from '@kvsift/eval';
import { allPolicies } from '@kvsift/policies';
import { formatSeconds } from '@kvsift/report';
import { type BackendChoice, createBackend } from './backends.js';
import { interruption } from './interruption.js';
import { Progress } from './progress.js';
import { makeSuite } from './suites.js';
import { codeFolder, version } from './version.js';

export interface EvaluationOptions {
  /** Go on although the stored results were made under other circumstances. */
  readonly mix?: boolean;
  /** Say nothing about progress. */
  readonly quiet?: boolean;
  readonly backend?: BackendChoice;
  /** Read the first context once before it counts: what it pays for memory does not show in its time. */
  readonly warmUp?: boolean;
}

/** Runs an evaluation into a folder: progress on standard error, Ctrl-C once finishes the sample, twice stops. */
export async function evaluate(config: RunConfig, folder: string, options: EvaluationOptions = {}): Promise<RunOutcome> {
  using progress = new Progress(options.quiet);
  return runEvaluation(config, folder, {
    registry: allPolicies(),
    suite: makeSuite,
    openEngine: (model) => openEngine(model, config, options),
    code: { version: version(), folder: codeFolder },
    mix: options.mix ?? false,
    finish: interruption(),
    onEvent: (event) => show(event, progress),
  });
}

function show(event: RunEvent, progress: Progress): void {
  switch (event.type) {
    case 'planned':
      for (const { suite, task, message } of event.failures) progress.remark(`${suite} ${task}: left out: ${message}`);
      if (event.done > 0) progress.remark(`${event.done} of ${event.total} results are stored already`);
      progress.step(`${event.total - event.done} samples to run`);
      break;
    case 'repaired':
      progress.remark(`removed a torn last line (${event.bytes} bytes) from results.jsonl`);
      break;
    case 'result': {
      const { task, label, budget } = event.result;
      const left = event.done < event.total ? `, about ${formatSeconds(event.remainingSeconds)} left` : '';
      progress.update(`${event.done}/${event.total} ${task} ${label} ${budget}${left}`);
      break;
    }
    case 'reading':
      progress.share(event.share, 1);
  }
}

/** Path of a model that a run names: `demo` is the embedded one. */
function modelPath(name: string): string {
  return name === 'demo' ? demoModelPath() : name;
}

async function openEngine(model: ModelSetting, config: RunConfig, options: EvaluationOptions): Promise<EvalEngine> {
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
