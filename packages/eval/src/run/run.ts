import { mkdir, writeFile } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import type { PolicyRegistry } from '@kvsift/policy';
import { formatBytes, isKvsiftError, KvsiftError } from '@kvsift/tensor';
import { stringify } from 'yaml';
import type { EvalEngine } from '../engine/contract.js';
import { takeLock } from '../store/lock.js';
import { ResultStore } from '../store/results.js';
import { type RunFolder, runFolder } from '../store/run-folder.js';
import type { Sample, Suite } from '../suite.js';
import { type Cell, expandCells } from './cells.js';
import type { ModelSetting, RunConfig, SuiteSetting } from './config.js';
import { currentCommit, describeMachine } from './environment.js';
import type { RunEvent, RunOutcome } from './events.js';
import { hashManifest, type Manifest } from './manifest.js';
import { planSuite, type SuitePlan, type TaskFailure } from './plan.js';
import { Pool } from './pool.js';
import { Progress } from './progress.js';
import { buildPrompt } from './prompt.js';
import { runGroup, type SampleContext, sampleErrors } from './sample.js';

/** What the loop is given instead of importing it. */
export interface RunEnvironment {
  readonly registry: PolicyRegistry;
  /** Makes the suite of a setting. @throws KvsiftError `config_invalid`, `file_not_found` */
  readonly suite: (setting: SuiteSetting) => Suite;
  /** Opens a model; the loop disposes it. */
  readonly openEngine: (model: ModelSetting) => Promise<EvalEngine>;
  /** Version of kvsift and a folder of its code, for the manifest. */
  readonly code: { readonly version: string; readonly folder: string };
  /** Go on where results of another manifest are stored (other code, machine or data): they count as done. Default: refuse. */
  readonly mix?: boolean;
  /** Answers to ask for at a time: 1 for a model in this process, more where workers share them. Default 1. */
  readonly concurrency?: number;
  /** Stops at once with an error `aborted`, or as `finish` does where that has fired too: the sample in flight is lost. */
  readonly signal?: AbortSignal;
  /** Stops once the sample in flight is stored. */
  readonly finish?: AbortSignal;
  readonly onEvent?: (event: RunEvent) => void;
}

/** The samples of one model and suite, ready to run. */
interface Job {
  readonly engine: EvalEngine;
  readonly plan: SuitePlan;
  readonly context: SampleContext;
}

/**
 * Runs models × (full cache and policies × budgets) × suites and stores each result in `folder` as it finishes. Results that the folder has are not made again, so
 * calling it again continues an interrupted run.
 * @throws KvsiftError `config_invalid`, `policy_unknown`, `budget_invalid`, `file_not_found`, ... before any weights are loaded; `run_mismatch` where another process
 * writes to the folder, or what it holds was made with another manifest
 */
export async function runEvaluation(config: RunConfig, folder: string, environment: RunEnvironment): Promise<RunOutcome> {
  const cells = expandCells(config.policies, config.budgets, environment.registry);
  const suites = config.suites.map((setting) => ({ setting, suite: environment.suite(setting) }));
  const files = runFolder(folder);
  const engines: EvalEngine[] = [];
  try {
    const jobs: Job[] = [];
    for (const model of config.models) {
      const engine = await environment.openEngine(model);
      engines.push(engine);
      for (const { setting, suite } of suites) {
        const plan = await planSuite(suite, setting, engine.tokenizer, config);
        jobs.push({ engine, plan, context: await contextOf(config, model, engine, plan, files, environment) });
      }
    }
    for (const job of jobs) checkMemory(job, cells, config, environment.onEvent);
    return await writing(files, environment, async (store) => {
      const contexts = jobs.map(({ context }) => context);
      const known = await files.checkManifests(store.results, contexts, environment.mix ?? false);
      await writeFile(files.config, stringify(config));
      return work(config, jobs, cells, store, files, known, environment);
    });
  } finally {
    for (const engine of engines) await engine[Symbol.asyncDispose]();
  }
}

/**
 * Estimates what the longest sample needs, under the cell that needs most.
 * @throws KvsiftError `out_of_memory` where that is more than there is and the run stops at errors
 */
function checkMemory(
  { engine, plan, context }: Job,
  cells: readonly Cell[],
  { question, onError, seed }: RunConfig,
  onEvent: RunEnvironment['onEvent'],
): void {
  const { longest } = plan;
  if (longest === undefined || engine.memoryNeeded === undefined) return;
  const prompt = buildPrompt(longest, question, context.chat);
  const read = engine.tokenizer.encode(prompt.context + prompt.question.text).length;
  const tokens = Math.min(engine.contextLength, read + longest.maxNewTokens);
  const needs = ({ setting }: Cell): number => {
    try {
      return engine.memoryNeeded?.(tokens, { ...setting, seed, sequence: 0 }) ?? 0;
    } catch (error) {
      // A budget that does not fit its policy: the samples will say so.
      if (isKvsiftError(error) && sampleErrors.has(error.code)) return 0;
      throw error;
    }
  };
  const needed = Math.max(...cells.map(needs));
  const available = engine.memoryBytes;
  onEvent?.({
    type: 'memory',
    model: context.model,
    suite: plan.suite.name,
    tokens,
    needed,
    ...(available !== undefined && { available }),
  });
  if (available === undefined || needed <= available || onError === 'continue') return;
  const { task, id } = longest;
  throw new KvsiftError(
    'out_of_memory',
    `${plan.suite.name} ${task}: sample ${id} of ${tokens} tokens needs about ${formatBytes(needed)}, and there are ${formatBytes(available)}: shorten the prompts (promptTokens), or go on without such samples (onError: continue)`,
    { task, sample: id, tokens, neededBytes: needed, availableBytes: available },
  );
}

/** Makes the folder, locks it, and opens its results for the time of `work`. */
async function writing<T>(files: RunFolder, environment: RunEnvironment, work: (store: ResultStore) => Promise<T>): Promise<T> {
  await mkdir(dirname(files.results), { recursive: true });
  const release = await takeLock(files.lock);
  try {
    await using store = await ResultStore.open(files.results);
    if (store.repairedBytes > 0) environment.onEvent?.({ type: 'repaired', bytes: store.repairedBytes });
    return await work(store);
  } finally {
    await release();
  }
}

async function contextOf(
  config: RunConfig,
  model: ModelSetting,
  engine: EvalEngine,
  plan: SuitePlan,
  files: RunFolder,
  { code }: RunEnvironment,
): Promise<SampleContext> {
  const { setting, suite, profile, samplesHash, stops } = plan;
  const chat = config.chat && engine.chat !== undefined;
  const manifest: Manifest = {
    kvsift: code.version,
    commit: await currentCommit(code.folder),
    node: process.versions.node,
    machine: describeMachine(),
    model: { ...engine.facts, contextLength: engine.contextLength },
    suite: {
      name: suite.name,
      tasks: [...plan.tasks.keys()],
      profile,
      options: setting.options ?? {},
      promptTokens: setting.promptTokens ?? null,
      samples: samplesHash,
      stops: [...stops],
    },
    question: config.question,
    chat,
    seed: config.seed,
  };
  return {
    model: model.name ?? basename(model.path),
    manifest,
    manifestHash: hashManifest(manifest),
    suite,
    profile,
    mode: config.question,
    chat: chat ? engine.chat : undefined,
    seed: config.seed,
    onError: config.onError,
    saveRetention: (key, retention) => files.writeRetention(key, retention),
  };
}

async function work(
  config: RunConfig,
  jobs: readonly Job[],
  cells: readonly Cell[],
  store: ResultStore,
  files: RunFolder,
  known: ReadonlySet<string>,
  environment: RunEnvironment,
): Promise<RunOutcome> {
  const { onEvent = () => {}, signal, finish } = environment;
  const failures: TaskFailure[] = jobs.flatMap(({ plan }) => [...plan.failures]);
  const perCell = jobs.reduce((sum, { plan }) => sum + [...plan.tasks.values()].reduce((a, b) => a + b, 0), 0);
  const progress = new Progress(perCell * cells.length, Math.max(...jobs.map(({ engine }) => engine.contextLength)));
  const stored = (context: SampleContext, cell: Cell, sample: Sample) =>
    [...known, context.manifestHash].some((manifest) =>
      store.has({ ...cell, manifest, model: context.model, suite: context.suite.name, task: sample.task, sample: sample.id }),
    );
  for (const { plan, context } of jobs) {
    for (const task of plan.tasks.keys()) {
      for await (const sample of plan.samples(task)) {
        progress.plan(sample, cells.length, cells.filter((cell) => stored(context, cell, sample)).length);
      }
    }
  }
  onEvent({ type: 'planned', total: progress.total, done: progress.done, failures });
  const failed = new AbortController();
  const pool = new Pool(environment.concurrency ?? 1);
  const stopping = () => finish?.aborted === true || signal?.aborted === true;
  let interrupted = false;
  const run = async ({ engine, context }: Job, cell: Cell, samples: readonly Sample[], task: string, retention: boolean) => {
    const missing = samples.filter((sample) => !stored(context, cell, sample));
    if (missing.length === 0) return;
    interrupted ||= stopping();
    if (interrupted) return;
    const results = runGroup(engine, context, cell, missing, {
      retention,
      signal: signal === undefined ? failed.signal : AbortSignal.any([signal, failed.signal]),
      onProgress: (share) => onEvent({ type: 'reading', task, label: cell.label, budget: cell.budget, share }),
    });
    for await (const result of results) {
      await store.append(result);
      const sample = missing.find(({ id }) => id === result.sample);
      if (sample === undefined) throw new Error(`nobody asked for sample ${result.sample}`);
      onEvent({ type: 'result', result, ...progress.add(result, sample) });
      interrupted ||= finish?.aborted === true;
      if (interrupted) return;
    }
  };
  try {
    for (const job of jobs) {
      await files.writeManifest(job.context.manifestHash, job.context.manifest);
      for (const task of job.plan.tasks.keys()) {
        let index = 0;
        for await (const group of groups(job.plan.samples(task), config.question)) {
          const retention = index < config.retention;
          for (const cell of cells) await pool.add(() => run(job, cell, group, task, retention));
          if (interrupted) break;
          index += group.length;
        }
      }
    }
    await pool.drain();
  } catch (error) {
    failed.abort(error);
    await pool.settle();
    // Whoever asked to stop is told how far the run came, also where nothing was left to finish.
    if (!finish?.aborted || !isKvsiftError(error) || error.code !== 'aborted') throw error;
    interrupted = true;
  }
  return progress.outcome(store, failures, interrupted);
}

/** Samples that can share one prefill: neighbours with one context, where the question is not part of what is compressed. */
async function* groups(samples: AsyncIterable<Sample>, mode: RunConfig['question']): AsyncGenerator<Sample[]> {
  let group: Sample[] = [];
  for await (const sample of samples) {
    const [first] = group;
    if (first !== undefined && (mode === 'aware' || first.context !== sample.context || first.chat !== sample.chat)) {
      yield group;
      group = [];
    }
    group.push(sample);
  }
  if (group.length > 0) yield group;
}
