import { setTimeout } from 'node:timers/promises';
import { KvsiftError } from '@kvsift/tensor';
import type { HubSettings } from './settings.js';

/** A request to the hub, repeated while the server is busy or silent. */
export interface HubRequest {
  readonly method?: 'GET' | 'HEAD';
  readonly headers?: Readonly<Record<string, string>>;
  readonly redirect?: 'follow' | 'manual';
  /** What is fetched, for errors. */
  readonly what: string;
}

/**
 * @returns a response below 400; with `redirect: 'manual'` also a redirection to another host
 * @throws KvsiftError `file_not_found` (404), `download_failed` (no access, no connection, given up), `aborted`
 */
export async function request(url: string, settings: HubSettings, options: HubRequest): Promise<Response> {
  const { method = 'GET', headers = {}, redirect = 'follow', what } = options;
  const { attempts, backoff, token, signal } = settings;
  const own = url.startsWith(`${settings.endpoint}/`);
  for (let attempt = 1; ; attempt++) {
    const outcome = await fetch(url, {
      method,
      redirect,
      headers: { ...headers, 'user-agent': 'kvsift', ...(own && token !== undefined && { authorization: `Bearer ${token}` }) },
      ...(signal && { signal }),
    }).catch((error: unknown) => error);
    if (signal?.aborted) throw new KvsiftError('aborted', `${what}: the download was stopped`, {}, { cause: signal.reason });
    if (!(outcome instanceof Response)) {
      if (attempt < attempts) {
        await pause(backoff * 2 ** (attempt - 1), signal);
        continue;
      }
      const { host } = new URL(url);
      const reason = reasonOf(outcome);
      throw new KvsiftError(
        'download_failed',
        `${what}: no answer from ${host} (${reason}); without a network, --offline uses what the cache has`,
        { url },
        { cause: outcome },
      );
    }
    if (outcome.status < 400) return outcome;
    await outcome.body?.cancel();
    if ((outcome.status === 429 || outcome.status >= 500) && attempt < attempts) {
      const asked = 1000 * Number(outcome.headers.get('retry-after') ?? Number.NaN);
      await pause(Number.isFinite(asked) ? Math.min(asked, 60_000) : backoff * 2 ** (attempt - 1), signal);
      continue;
    }
    throw refusal(outcome, what, token !== undefined);
  }
}

function refusal({ status, headers }: Response, what: string, hasToken: boolean): KvsiftError {
  const code = headers.get('x-error-code') ?? '';
  const details = { status, code };
  if (status === 401 || status === 403 || code === 'GatedRepo') {
    const advice = hasToken
      ? 'the token gives no access: accept the conditions on its page, or use a token with read access'
      : 'it is private, gated or misspelt: set HF_TOKEN to a token with read access';
    return new KvsiftError('download_failed', `${what}: ${advice} (${status}${code && ` ${code}`})`, details);
  }
  if (status === 404) {
    const missing: Readonly<Record<string, string>> = {
      RepoNotFound: 'there is no such repository',
      RevisionNotFound: 'the repository has no such revision',
      EntryNotFound: 'the repository has no such file',
    };
    return new KvsiftError('file_not_found', `${what}: ${missing[code] ?? 'not found'}`, details);
  }
  return new KvsiftError('download_failed', `${what}: the hub answered ${status}${code && ` ${code}`}`, details);
}

function reasonOf(error: unknown): string {
  const inner = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return inner instanceof Error ? inner.message || inner.name : String(inner);
}

async function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await setTimeout(milliseconds, undefined, signal ? { signal } : {});
  } catch (cause) {
    throw new KvsiftError('aborted', 'the download was stopped', {}, { cause });
  }
}
