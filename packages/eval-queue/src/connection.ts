import { KvsiftError } from '@kvsift/tensor';
import { Redis } from 'ioredis';

/**
 * Opens a connection to Redis or Valkey and waits until it answers.
 * @param url redis://[user:password@]host:port[/database], or rediss:// for TLS
 * @throws KvsiftError `queue_unavailable` where nobody answers, `invalid_argument` where it is no such address
 */
export async function connect(url: string): Promise<Redis> {
  const { protocol = '', host = '' } = URL.canParse(url) ? new URL(url) : {};
  if (!/^rediss?:$/.test(protocol)) {
    throw new KvsiftError('invalid_argument', `expected an address such as redis://127.0.0.1:6379, got "${url}"`, { url });
  }
  // BullMQ asks for unlimited retries: a server that restarts is waited for. The first connection alone must succeed at once.
  const redis = new Redis(url, { lazyConnect: true, maxRetriesPerRequest: null, connectTimeout: 5000 });
  const problems: Error[] = [];
  redis.on('error', (error: Error) => problems.push(error));
  try {
    await redis.connect();
    await redis.ping();
  } catch (cause) {
    redis.disconnect();
    const reason = problems.at(-1)?.message ?? (cause instanceof Error ? cause.message : String(cause));
    throw new KvsiftError('queue_unavailable', `no Redis at ${host}: ${reason}`, { host }, { cause });
  }
  return redis;
}
