import { KvsiftError } from '@kvsift/tensor';
import { Redis } from 'ioredis';

/** What becomes of a connection that is lost. */
export interface ConnectionOptions {
  /** True once nobody waits for the server any longer: what is asked of a lost one then fails, instead of waiting. */
  readonly isOver: () => boolean;
  /** Told that the server has gone (false), and that it answers again (true). */
  readonly onChange?: (isThere: boolean) => void;
}

/**
 * Opens a connection to Redis or Valkey and waits until it answers.
 * @param url redis://[user:password@]host:port[/database], or rediss:// for TLS
 * @throws KvsiftError `queue_unavailable` where nobody answers, or not to us, `invalid_argument` where it is no such address
 */
export async function connect(url: string, { isOver, onChange }: ConnectionOptions): Promise<Redis> {
  const { protocol = '', host = '' } = URL.canParse(url) ? new URL(url) : {};
  if (!/^rediss?:$/.test(protocol)) {
    throw new KvsiftError('invalid_argument', `expected an address such as redis://127.0.0.1:6379, got "${url}"`, { url });
  }
  // BullMQ asks for unlimited retries: a server that restarts is waited for. The first connection alone must succeed at once.
  const retryStrategy = (times: number) => (isOver() ? null : Math.min(50 * times, 1000));
  const redis = new Redis(url, { lazyConnect: true, maxRetriesPerRequest: null, connectTimeout: 5000, retryStrategy });
  const problems: Error[] = [];
  redis.on('error', (error: Error) => problems.push(error));
  try {
    await redis.connect();
    // The client does not mind a database that is not there.
    await redis.select(redis.options.db ?? 0);
  } catch (cause) {
    redis.disconnect();
    const reason = problems.at(-1)?.message ?? (cause instanceof Error ? cause.message : String(cause));
    throw new KvsiftError('queue_unavailable', refusal(host, reason), { host }, { cause });
  }
  redis.removeAllListeners('error').on('error', () => {});
  if (onChange) tellChanges(redis, onChange);
  return redis;
}

/** Closes what uses a connection; a server that has gone hears no goodbye. */
export async function farewell(redis: Redis, close: (force: boolean) => Promise<unknown>): Promise<void> {
  if (redis.status === 'ready') await close(false);
  else close(true).catch(() => {});
}

function refusal(host: string, reason: string): string {
  if (/^(NOAUTH|WRONGPASS|NOPERM)|password/i.test(reason)) {
    return `the Redis at ${host} wants a name and password: ${reason} Write them into the address: redis://user:password@${host}`;
  }
  if (/^(ERR|LOADING|MASTERDOWN)/.test(reason)) return `the Redis at ${host} refuses: ${reason}`;
  return `no Redis at ${host}: ${reason}; is redis-server or valkey-server running there?`;
}

function tellChanges(redis: Redis, onChange: (isThere: boolean) => void): void {
  let isThere = true;
  const change = (now: boolean) => {
    if (now !== isThere) onChange(now);
    isThere = now;
  };
  redis.on('ready', () => change(true));
  // Once it is lost: 'close' alone follows `disconnect` too.
  redis.on('reconnecting', () => change(false));
}
