import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { PolicyRegistry } from '@kvsift/policy';
import { isKvsiftError } from '@kvsift/tensor';
import { stringify } from 'yaml';
import type { EvalEngine } from '../engine/contract.js';
import { takeLock } from '../store/lock.js';
import { keyOf } from '../store/result.js';
import { ResultStore } from '../store/results.js';
import { type RunFolder, runFolder } from '../store/run-folder.js';
import type { Sample, Suite } from '../suite.js';
import { type Cell, expandCells } from './cells.js';
import { RunClock } from './clock.js';
import type { ModelSetting, RunConfig, SuiteSetting } from './config.js';
import { contextOf } from './context.js';
import { currentCommit } from './environment.js';
import type { RunEvent, RunOutcome } from './events.js';
import { checkMemory } from './memory.js';
import { checkNames } from './names.js';
import { settledBefore } from './older.js';
import { checkOutside } from './outside.js';
import { planSuite, type SuitePlan, type TaskFailure } from './plan.js';
import { Pool } from './pool.js';
import { Progress } from './progress.js';
import { PromptedSample } from './prompt.js';
import { keyFor, runGroup, type SampleContext } from './sample.js';
import { Turns } from './turns.js';

/** Characters of prompts that are kept between planning and running. */
const heldCharacters = 2 ** 26;

/** What the loop is given instead of importing it. */
export interface RunEnvironment {
  readonly registry: PolicyRegistry;
  /** Makes the suite of a setting. @throws KvsiftError `config_invalid`, `file_not_found` */
  readonly suite: (setting: SuiteSetting) => Suite;
  /** Opens a model; the loop disposes it. */
  readonly openEngine: (model: ModelSetting) => Promise<EvalEngine>;
  /** Version of kvsift and a folder of its code, for the manifest. */
  readonly code: { readonly version: string; readonly folder: string };
  /** Options of suites that are paths of data: those belong to no manifest's identity. Default: none. */
  readonly dataOptions?: readonly string[];
  /**
   * Go on where results of another manifest are stored (other code, machine or data): those with the same prompt, expected answer, seed, place of the question and
   * scoring rules count as done. Default: refuse.
   */
  readonly mix?: boolean;
  /** Take samples of this run that failed out of the results and run them again. Default: they count as done. */
  readonly retryFailed?: boolean;
  /** Answers to ask for at a time: 1 for a model in this process, more where workers share them. Default 1. */
  readonly concurrency?: number;
  /** Stops at once with an error `aborted`, or as `finish` does where that has fired too: the sample in flight is lost. */
  readonly signal?: AbortSignal;
  /** Stops once the sample in flight is stored; with an error `aborted` while there is none because samples are still being planned. */
  readonly finish?: AbortSignal;
  readonly onEvent?: (event: RunEvent) => void;
}

/** The samples of one model and suite, ready to run. */
interface Job {
  readonly engine: EvalEngine;
  readonly plan: SuitePlan;
  readonly context: SampleContext;
  /** Whether cells share one reading of a prompt. */
  readonly shares: boolean;
}

/**
 * Runs models × (full cache and policies × budgets) × suites and stores each result in `folder` as it finishes. Results that the folder has are not made again, so
 * calling it again continues an interrupted run.
 * @throws KvsiftError `config_invalid` (two models or suites of one name, too), `policy_unknown`, `budget_invalid`, `file_not_found`, ... before any weights are loaded; `run_mismatch` where another process
 * writes to the folder, or what it holds was made with another manifest
 */
export async function runEvaluation(config: RunConfig, folder: string, environment: RunEnvironment): Promise<RunOutcome> {
  const cells = expandCells(config.policies, config.budgets, environment.registry);
  const suites = config.suites.map((setting) => ({ setting, suite: environment.suite(setting) }));
  checkNames(
    config.models,
    suites.map(({ suite }) => suite),
  );
  const files = runFolder(folder);
  const engines: EvalEngine[] = [];
  const room = { characters: heldCharacters };
  const commit = await currentCommit(environment.code.folder);
  const turns = new Turns(() => environment.finish?.aborted === true || environment.signal?.aborted === true);
  try {
    const jobs: Job[] = [];
    for (const model of config.models) {
      const engine = await environment.openEngine(model);
      engines.push(engine);
      for (const { setting, suite } of suites) {
        const plan = await planSuite(suite, setting, engine.tokenizer, config, room, turns);
        const context = await contextOf(config, model, engine, plan, files, { ...environment, commit });
        const fits = checkMemory({ engine, plan, context }, cells, config, environment.onEvent);
        jobs.push({ engine, plan, context, shares: config.sharePrefill && fits && engine.answerAll !== undefined });
      }
    }
    return await writing(files, environment, async (store) => {
      const contexts = jobs.map(({ context }) => context);
      const older = await files.checkManifests(store.results, contexts, environment.mix ?? false);
      if (!environment.mix) checkOutside(folder, store.results, cells);
      await writeFile(files.config, stringify(config));
      if (environment.retryFailed) await removeFailed(store, jobs, cells, older);
      const settled = await settledBefore(jobs, cells, store.results, older, turns);
      return work(config, jobs, cells, store, files, settled, environment, turns);
    });
  } finally {
    for (const engine of engines) await engine[Symbol.asyncDispose]();
  }
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

/** Takes what failed out of the store, as far as this run can make it again. */
async function removeFailed(
  store: ResultStore,
  jobs: readonly Job[],
  cells: readonly Cell[],
  older: ReadonlySet<string>,
): Promise<void> {
  const planned = new Map<string, ReadonlySet<string>>();
  for (const { plan, context } of jobs) {
    const manifests = new Set([...older, context.manifestHash]);
    for (const outline of [...plan.tasks.values()].flat()) {
      for (const cell of cells) planned.set(keyOf({ ...keyFor(context, cell, outline), manifest: '' }), manifests);
    }
  }
  await store.removeFailed((result) => planned.get(keyOf({ ...result, manifest: '' }))?.has(result.manifest) === true);
}

async function work(
  config: RunConfig,
  jobs: readonly Job[],
  cells: readonly Cell[],
  store: ResultStore,
  files: RunFolder,
  settled: ReadonlySet<string>,
  environment: RunEnvironment,
  turns: Turns,
): Promise<RunOutcome> {
  const { onEvent = () => {}, signal, finish } = environment;
  const failures: TaskFailure[] = jobs.flatMap(({ plan }) => [...plan.failures]);
  const outlines = jobs.flatMap(({ plan, context }) => [...plan.tasks.values()].flat().map((outline) => ({ context, outline })));
  const progress = new Progress(outlines.length * cells.length, Math.max(...jobs.map(({ engine }) => engine.contextLength)));
  const stored = (context: SampleContext, cell: Cell, sample: Pick<Sample, 'task' | 'id'>) => {
    const key = keyFor(context, cell, sample);
    return store.has(key) || settled.has(keyOf(key));
  };
  for (const { context, outline } of outlines) {
    progress.plan(outline, cells.length, cells.filter((cell) => stored(context, cell, outline)).length);
  }
  onEvent({ type: 'planned', total: progress.total, done: progress.done, failed: store.failed, failures });
  const failed = new AbortController();
  const { concurrency = 1 } = environment;
  const pool = new Pool(concurrency);
  const clock = new RunClock();
  const stopping = () => finish?.aborted === true || signal?.aborted === true;
  let interrupted = false;
  const run = async (
    { engine, context }: Job,
    cells: readonly Cell[],
    missing: readonly PromptedSample[],
    task: string,
    retention: boolean,
  ) => {
    const [cell] = cells;
    if (cell === undefined || missing.length === 0) return;
    interrupted ||= stopping();
    if (interrupted) return;
    clock.start();
    const results = runGroup(engine, context, cells, missing, {
      retention,
      signal: signal === undefined ? failed.signal : AbortSignal.any([signal, failed.signal]),
      onProgress: (share) => onEvent({ type: 'reading', task, label: cell.label, budget: cell.budget, share }),
    });
    for await (const { result, read } of results) {
      await store.append(result);
      clock.add(result, read);
      const sample = missing.find(({ sample: { id } }) => id === result.sample)?.sample;
      if (sample === undefined) throw new Error(`nobody asked for sample ${result.sample}`);
      const characters = sample.context.length + sample.question.length;
      onEvent({ type: 'result', result, ...progress.add(result, { ...sample, characters }) });
      interrupted ||= finish?.aborted === true;
      if (interrupted) return;
    }
  };
  try {
    for (const job of jobs) {
      await files.writeManifest(job.context.manifestHash, job.context.manifest);
      for (const [task, outlines] of job.plan.tasks) {
        // Nothing to run: then its samples need not even be made.
        if (outlines.every((outline) => cells.every((cell) => stored(job.context, cell, outline)))) continue;
        let index = 0;
        const { mode, chat } = job.context;
        for await (const samples of groups(job.plan.samples(task), config.question)) {
          const group = samples.map((sample) => new PromptedSample(sample, mode, chat));
          const retention = index < config.retention;
          const lacking = (cell: Cell) => group.filter(({ sample }) => !stored(job.context, cell, sample));
          const fresh = job.shares ? cells.filter((cell) => lacking(cell).length === group.length) : [];
          await pool.add(() => run(job, fresh, group, task, retention));
          for (const cell of cells) await pool.add(() => run(job, [cell], lacking(cell), task, retention));
          interrupted ||= stopping();
          if (interrupted) break;
          index += group.length;
          await turns.pass();
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
  await store.settle();
  clock.end();
  const seconds = concurrency === 1 ? clock.seconds(loadingOf(jobs)) : undefined;
  return { ...progress.outcome(store, failures, interrupted), ...(seconds && { seconds }) };
}

/** Seconds that loading weights took: each engine once. */
function loadingOf(jobs: readonly Job[]): number {
  return [...new Set(jobs.map(({ engine }) => engine))].reduce((sum, { loadSeconds = 0 }) => sum + loadSeconds, 0);
}

/** Samples that can share one prefill: neighbours with one context, where the question is not part of what is compressed. */
async function* groups(samples: ReturnType<SuitePlan['samples']>, mode: RunConfig['question']): AsyncGenerator<Sample[]> {
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
