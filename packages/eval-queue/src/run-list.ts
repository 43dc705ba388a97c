import type { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { malformed, type RunRecord, runRecordSchema } from './protocol.js';

const key = 'kvsift:runs';

/** Name of the queue of a run. */
export const queueName = (run: string) => `kvsift-${run}`;

/** Requests of a run that nobody has settled yet. */
export async function unsettled(queue: Queue): Promise<number> {
  const counts = await queue.getJobCounts('waiting', 'active', 'delayed');
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}

/** Seconds that a refusal is kept, should it come after the end of its run. */
const refusalLife = 24 * 60 * 60;

const refusalKey = (run: string) => `${key}:refused:${run}`;

/** The runs that wait for workers, in one hash, and for each the workers that take no part. */
export class RunList {
  constructor(private readonly redis: Redis) {}

  async publish(record: RunRecord): Promise<void> {
    await this.redis.hset(key, record.run, JSON.stringify(record));
  }

  async remove(run: string): Promise<void> {
    await this.redis.hdel(key, run);
    await this.redis.del(refusalKey(run));
  }

  /** Tells the run why a worker takes no part. */
  async refuse(run: string, worker: string, reason: string): Promise<void> {
    await this.redis.hset(refusalKey(run), worker, reason);
    await this.redis.expire(refusalKey(run), refusalLife);
  }

  /** Reasons of the workers that take no part in a run, by name. */
  refusals(run: string): Promise<Record<string, string>> {
    return this.redis.hgetall(refusalKey(run));
  }

  async has(run: string): Promise<boolean> {
    return (await this.redis.hexists(key, run)) === 1;
  }

  /** @throws KvsiftError `data_malformed` for a run of another version */
  async all(): Promise<RunRecord[]> {
    return Object.values(await this.redis.hgetall(key)).map((text) => {
      const checked = runRecordSchema.safeParse(JSON.parse(text));
      if (!checked.success) throw malformed('a run', checked.error);
      return checked.data;
    });
  }
}
