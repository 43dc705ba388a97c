import { hostname } from 'node:os';
import { setTimeout } from 'node:timers/promises';
import { differences, type EvalEngine, type ModelSetting, sampleErrors } from '@kvsift/eval';
import { outsideVersions, type PolicyRegistry } from '@kvsift/policy';
import { isKvsiftError, KvsiftError } from '@kvsift/tensor';
import { Queue, type Job as QueuedJob, Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import { connect, farewell } from './connection.js';
import { decodeJob, type Outcome, type RunRecord } from './protocol.js';
import { queueName, RunList, unsettled } from './run-list.js';
import { tries } from './shared-run.js';

/** What a worker tells while it works. */
export type WorkerEvent =
  | { readonly type: 'joined' | 'left'; readonly run: string }
  /** The server has gone, and is waited for; it answers again. */
  | { readonly type: 'lost' | 'back' }
  /**
   * A run that this worker cannot take part in, as a policy is missing or a model cannot be opened here, or must not, as its code or model would answer otherwise: that `mix`
   * allows all the same.
   */
  | { readonly type: 'refused'; readonly run: string; readonly reason: string; readonly lacks: 'policy' | 'model' | 'likeness' }
  | { readonly type: 'reading'; readonly share: number }
  | { readonly type: 'answered'; readonly total: number; readonly seconds: number }
  /** This try failed; `left` more follow. */
  | { readonly type: 'failed'; readonly message: string; readonly left: number };

/** Where a worker finds runs, and what it answers them with. */
export interface WorkerOptions {
  readonly url: string;
  readonly registry: PolicyRegistry;
  /** Opens a model of a run with this machine's own backend settings; the worker disposes it. */
  readonly openEngine: (model: ModelSetting, run: RunRecord) => Promise<EvalEngine>;
  readonly code: { readonly version: string; readonly commit: string | null };
  /** Milliseconds after which a worker that stays silent is taken for dead and its sample given to another. Default 30,000. */
  readonly lease?: number;
  /** Take part although code or model differ from the run's. */
  readonly mix?: boolean;
  /** Ends when there is nothing to do. Default: waits for the next run. */
  readonly once?: boolean;
  /** Stops once the sample in flight is answered. */
  readonly finish?: AbortSignal;
  readonly onEvent?: (event: WorkerEvent) => void;
}

const pollMilliseconds = 250;

/** Facts of an engine that may differ between machines without changing an answer. */
const harmless = ['threads'];

/**
 * Answers requests of shared runs until it is told to finish; a run with work to do goes before one without.
 * @returns number of requests answered
 * @throws KvsiftError `queue_unavailable`
 */
export async function runWorker(options: WorkerOptions): Promise<number> {
  const { finish, once = false, onEvent } = options;
  const redis = await connect(options.url, {
    isOver: () => finish?.aborted === true,
    onChange: (isThere) => onEvent?.({ type: isThere ? 'back' : 'lost' }),
  });
  const board = new Board(redis);
  const count = { answered: 0 };
  try {
    while (!finish?.aborted) {
      const run = await board.busiest();
      if (run !== undefined) await takePart(run, board, redis, options, count);
      else if (once && (await board.isEmpty())) break;
      else await setTimeout(pollMilliseconds);
    }
  } catch (error) {
    // Told to finish while the server was away: what was in flight is another worker's, once the lease has ended.
    if (!finish?.aborted || redis.status !== 'end') throw error;
  } finally {
    await board[Symbol.asyncDispose]();
    redis.disconnect();
  }
  return count.answered;
}

/** What there is to do. */
class Board implements AsyncDisposable {
  readonly #refused = new Set<string>();
  readonly #queues = new Map<string, Queue>();
  readonly #runs: RunList;

  constructor(private readonly redis: Redis) {
    this.#runs = new RunList(redis);
  }

  async refuse(run: string, worker: string, reason: string): Promise<void> {
    this.#refused.add(run);
    await this.#runs.refuse(run, worker, reason);
  }

  async isEmpty(): Promise<boolean> {
    return (await this.#open()).length === 0;
  }

  /** The first run with unsettled requests. */
  async busiest(): Promise<RunRecord | undefined> {
    for (const record of await this.#open()) if ((await unsettled(this.#queue(record.run))) > 0) return record;
    return undefined;
  }

  /** Whether a worker shall stay with a run: it is not over, and has work unless no other run has any. */
  async isWorthStaying(run: string): Promise<boolean> {
    if (!(await this.#runs.has(run))) return false;
    if ((await unsettled(this.#queue(run))) > 0) return true;
    return (await this.busiest()) === undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const queue of this.#queues.values()) await queue.close();
  }

  async #open(): Promise<RunRecord[]> {
    return (await this.#runs.all()).filter(({ run }) => !this.#refused.has(run));
  }

  #queue(run: string): Queue {
    const present = this.#queues.get(run);
    if (present !== undefined) return present;
    const made = new Queue(queueName(run), { connection: this.redis, skipMetasUpdate: true });
    made.on('error', () => {});
    this.#queues.set(run, made);
    return made;
  }
}

/** Works for one run until it is over, another needs help more, or it must not take part. */
async function takePart(
  run: RunRecord,
  board: Board,
  redis: Redis,
  options: WorkerOptions,
  count: { answered: number },
): Promise<void> {
  const { lease = 30_000, finish, onEvent = () => {} } = options;
  const engines: EvalEngine[] = [];
  const id = `${hostname()}:${process.pid}`;
  const refuse = async (reason: string, lacks: (WorkerEvent & { type: 'refused' })['lacks']) => {
    await board.refuse(run.run, id, reason);
    onEvent({ type: 'refused', run: run.run, reason, lacks });
  };
  const lacking = run.policies.flatMap((policy) => lack(policy, options.registry));
  if (lacking.length > 0) return refuse(lacking.join('; '), 'policy');
  try {
    for (const { facts: _facts, path, name, contextLength } of run.models) {
      const setting = { path, ...(name !== undefined && { name }), ...(contextLength !== undefined && { contextLength }) };
      try {
        engines.push(await options.openEngine(setting, run));
      } catch (error) {
        if (!isKvsiftError(error)) throw error;
        return await refuse(error.message, 'model');
      }
    }
    const differing = options.mix ? [] : disagreement(run, engines, options);
    if (differing.length > 0) return await refuse(differing.join('; '), 'likeness');
    // The worker closes what it opens, not what it is given; an open connection keeps the process alive.
    using connection = disposable(redis.duplicate());
    const worker = new Worker(queueName(run.run), (job) => answer(job, engines, options, id, count), {
      connection: connection.redis,
      name: id,
      lockDuration: lease,
      stalledInterval: Math.max(100, Math.floor(lease / 2)),
      // The first loss of a lease is a try as well.
      maxStalledCount: tries - 1,
      drainDelay: 1,
      // Its own 15 s are how long a server that has gone would hold the process.
      runRetryDelay: 1000,
    });
    worker.on('error', () => {});
    worker.on('failed', (job, error) =>
      onEvent({ type: 'failed', message: error.message, left: tries - (job?.attemptsMade ?? tries) }),
    );
    onEvent({ type: 'joined', run: run.run });
    try {
      while (!finish?.aborted && (await board.isWorthStaying(run.run))) await setTimeout(pollMilliseconds);
    } finally {
      await farewell(redis, (force) => worker.close(force));
    }
    onEvent({ type: 'left', run: run.run });
  } finally {
    for (const engine of engines) await engine[Symbol.asyncDispose]();
  }
}

/** A connection that ends with the scope. */
function disposable(redis: Redis): Disposable & { readonly redis: Redis } {
  return { redis, [Symbol.dispose]: () => redis.disconnect() };
}

/** What keeps a policy of a run from being made here. */
function lack(policy: string, registry: PolicyRegistry): string[] {
  try {
    registry.parse(policy);
    return [];
  } catch (error) {
    if (!isKvsiftError(error)) throw error;
    return [error.message];
  }
}

/** Differences that would make this worker's answers another run's. */
function disagreement(run: RunRecord, engines: readonly EvalEngine[], { code, registry }: WorkerOptions): string[] {
  const essential = (facts: EvalEngine['facts']) =>
    Object.fromEntries(Object.entries(facts).filter(([name]) => !harmless.includes(name)));
  const present = Object.assign({}, ...run.policies.map((policy) => outsideVersions(registry.parse(policy), registry)));
  return [
    ...differences({ kvsift: run.kvsift, commit: run.commit }, { kvsift: code.version, commit: code.commit }),
    ...differences(run.outside, present, 'policies'),
    ...run.models.flatMap(({ path, facts }, index) =>
      differences(essential(facts), essential(engines[index]?.facts ?? {}), path),
    ),
  ];
}

async function answer(
  job: QueuedJob,
  engines: readonly EvalEngine[],
  { registry, onEvent = () => {} }: WorkerOptions,
  worker: string,
  count: { answered: number },
): Promise<Outcome> {
  const started = performance.now();
  const { model, request } = decodeJob(job.data, registry);
  const engine = engines[model];
  if (engine === undefined) throw new KvsiftError('data_malformed', `the run has no model number ${model}`);
  const answers: Outcome['answers'][number][] = [];
  const told = () => {
    count.answered += 1;
    onEvent({ type: 'answered', total: count.answered, seconds: (performance.now() - started) / 1000 });
  };
  try {
    const onProgress = (share: number) => onEvent({ type: 'reading', share });
    for await (const one of engine.answer({ ...request, onProgress })) answers.push(one);
    told();
    return { worker, answers };
  } catch (error) {
    // What lies in the sample fails everywhere: it is an answer, not a reason to try again.
    if (!isKvsiftError(error) || !sampleErrors.has(error.code)) throw error;
    told();
    return { worker, answers, error: { code: error.code, message: error.message } };
  }
}
