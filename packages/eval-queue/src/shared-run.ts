import { createHash } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';
import type { AnswerRequest, EngineAnswer, EvalEngine, ModelSetting } from '@kvsift/eval';
import { type ErrorCode, KvsiftError } from '@kvsift/tensor';
import { Queue, Job as QueuedJob, QueueEvents } from 'bullmq';
import type { Redis } from 'ioredis';
import { connect, farewell } from './connection.js';
import { decodeOutcome, encodeJob, type Outcome, type Job as QueuedRequest, type RunRecord } from './protocol.js';
import { queueName, RunList } from './run-list.js';

/** Times that a sample is tried before it is set aside, whether its workers raised an error or died. */
export const tries = 3;

/** Where a run meets its workers, and what they must agree with. */
export interface SharedRunOptions {
  readonly url: string;
  /** Names the run: the same when it is continued. Letters, digits and dashes. */
  readonly run: string;
  /** What workers must agree with. */
  readonly facts: Omit<RunRecord, 'run' | 'models' | 'policies' | 'outside'>;
  /** Policies of the run as `formatPolicy` writes them: a worker that lacks one takes no part. */
  readonly policies?: readonly string[];
  /** As `outsideVersions` of `@kvsift/policy` tells them, of all of these: workers must have the same. */
  readonly outside?: Readonly<Record<string, string>>;
  /** Told once of each worker that takes no part, and why. */
  readonly onRefused?: (worker: string, reason: string) => void;
  /** Milliseconds before the second try; doubled before the third. Default 1000. */
  readonly backoff?: number;
  /** Milliseconds between looks at what should have been announced. Default 5000. */
  readonly sweep?: number;
  /** Once it fires, a server that has gone is no longer waited for. */
  readonly finish?: AbortSignal;
  /** Told that the server has gone (false): the run waits for it; and that it answers again (true). */
  readonly onConnection?: (isThere: boolean) => void;
}

/**
 * The side of a run that hands out work: engines whose answers come from workers. Answers are kept in Redis until the caller has taken
 * the next one, so that a run that is killed finds them when it is started again.
 */
export class SharedRun implements AsyncDisposable {
  readonly #models: RunRecord['models'] = [];
  readonly #refused = new Set<string>();
  readonly #waiting = new Map<string, Set<(settled: QueuedJob) => void>>();

  private constructor(
    private readonly options: SharedRunOptions,
    private readonly redis: Redis,
    private readonly queue: Queue,
    private readonly events: QueueEvents,
    private readonly over: AbortController,
  ) {
    const settle = ({ jobId }: { readonly jobId: string }) => this.#look(jobId).catch(() => {});
    events.on('completed', settle);
    events.on('failed', settle);
    // A lost connection is told to whoever waits for an answer by the queue, which reconnects.
    events.on('error', () => {});
    queue.on('error', () => {});
  }

  /** @throws KvsiftError `queue_unavailable`, `invalid_argument` */
  static async open(options: SharedRunOptions): Promise<SharedRun> {
    const { finish, onConnection } = options;
    const over = new AbortController();
    const isOver = () => over.signal.aborted || finish?.aborted === true;
    const redis = await connect(options.url, { isOver, ...(onConnection && { onChange: onConnection }) });
    const queue = new Queue(queueName(options.run), { connection: redis });
    // A short wait: a server that has gone holds the process for as long.
    const events = new QueueEvents(queueName(options.run), { connection: redis.duplicate(), blockingTimeout: 2000 });
    await events.waitUntilReady();
    return new SharedRun(options, redis, queue, events, over);
  }

  /** An engine that has its answers computed elsewhere; the given one tokenises and tells facts. */
  engine(model: ModelSetting, local: EvalEngine): EvalEngine {
    const index = this.#models.length;
    const { path, name, contextLength } = model;
    const optional = { ...(name !== undefined && { name }), ...(contextLength !== undefined && { contextLength }) };
    this.#models.push({ path, ...optional, facts: { ...local.facts } });
    return {
      facts: local.facts,
      tokenizer: local.tokenizer,
      contextLength: local.contextLength,
      ...(local.chat && { chat: local.chat }),
      answer: (request) => this.#answer(index, request),
      [Symbol.asyncDispose]: () => local[Symbol.asyncDispose](),
    };
  }

  /** Workers that are connected now. */
  workers(): Promise<number> {
    return this.queue.getWorkersCount();
  }

  /** Takes the run from the list and its queue from Redis: all is done. */
  async close(): Promise<void> {
    await new RunList(this.redis).remove(this.options.run);
    await this.queue.obliterate({ force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.over.abort();
    await farewell(this.redis, () => Promise.all([this.events.close(), this.queue.close()]));
    this.redis.disconnect();
  }

  async *#answer(model: number, request: AnswerRequest): AsyncGenerator<EngineAnswer> {
    const job = await this.#settled(encodeJob(model, request), request.signal);
    const outcome: Outcome = (await job.isFailed()) ? given(job) : decodeOutcome(job.returnvalue);
    yield* outcome.answers;
    // Whoever asks for more has stored what came before. Somebody with the same request may have removed it.
    await job.remove().catch(() => {});
    if (outcome.error !== undefined) throw new KvsiftError(outcome.error.code as ErrorCode, outcome.error.message);
  }

  /** The job once it is completed or failed; one that Redis has already is not made again. */
  async #settled(data: QueuedRequest, signal: AbortSignal | undefined): Promise<QueuedJob> {
    // Facts belong to the name: answers of a model that has changed since are not taken for this one's.
    const named = JSON.stringify([data, this.#models[data.model]?.facts]);
    const jobId = createHash('sha256').update(named).digest('hex').slice(0, 32);
    const done = new AbortController();
    const settled = new Promise<QueuedJob>((resolve) => {
      const waiting = this.#waiting.get(jobId) ?? new Set();
      this.#waiting.set(jobId, waiting.add(resolve));
      done.signal.addEventListener('abort', () => waiting.delete(resolve) && waiting.size === 0 && this.#waiting.delete(jobId));
    });
    try {
      return await Promise.race([settled, this.#pursue(jobId, data, done.signal), aborted(signal, done.signal)]);
    } finally {
      done.abort();
    }
  }

  /** Hands a settled job to whoever waits for it; tells where Redis knows no such job. */
  async #look(jobId: string): Promise<'unknown' | 'known'> {
    const state = await this.queue.getJobState(jobId);
    if (state === 'completed' || state === 'failed') {
      const job = await QueuedJob.fromId(this.queue, jobId);
      if (job) for (const resolve of this.#waiting.get(jobId) ?? []) resolve(job);
    }
    return state === 'unknown' ? 'unknown' : 'known';
  }

  /** Queues a request, and looks again and again: an announcement may be lost with a connection, and the job with a server that saves nothing. */
  async #pursue(jobId: string, data: QueuedRequest, signal: AbortSignal): Promise<never> {
    const backoff = { type: 'exponential', delay: this.options.backoff ?? 1000 };
    for (;;) {
      // Each time: a server may forget the run and keep the job that was queued just after.
      await new RunList(this.redis).publish({
        ...this.options.facts,
        run: this.options.run,
        policies: [...(this.options.policies ?? [])],
        outside: { ...this.options.outside },
        models: this.#models,
      });
      if ((await this.#look(jobId)) === 'unknown') await this.queue.add('answer', data, { jobId, attempts: tries, backoff });
      await this.#tellRefusals();
      await setTimeout(this.options.sweep ?? 5000, undefined, { signal });
    }
  }

  async #tellRefusals(): Promise<void> {
    const refusals = await new RunList(this.redis).refusals(this.options.run);
    for (const [worker, reason] of Object.entries(refusals)) {
      const name = `${worker} ${reason}`;
      if (this.#refused.has(name)) continue;
      this.#refused.add(name);
      this.options.onRefused?.(worker, reason);
    }
  }
}

/** What is left of a job that three workers gave up on or died of. */
function given(job: QueuedJob): Outcome {
  const died = /stalled/.test(job.failedReason ?? '');
  const reason = died ? 'its workers died or stopped answering' : job.failedReason;
  return { worker: '', answers: [], error: { code: 'worker_failed', message: `set aside after ${tries} tries: ${reason}` } };
}

/** Rejects when the signal fires; never resolves. `done` lets go of it. */
function aborted(signal: AbortSignal | undefined, done: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const fail = () =>
      reject(new KvsiftError('aborted', 'the run was stopped; its workers go on', {}, { cause: signal?.reason }));
    if (signal?.aborted) fail();
    signal?.addEventListener('abort', fail, { signal: done });
  });
}
