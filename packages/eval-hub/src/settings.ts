import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { KvsiftError } from '@kvsift/tensor';

/** Where files come from and go to. Everything left out is read from the variables that the Hugging Face tools share. */
export interface HubOptions {
  /** Default: HF_ENDPOINT, else https://huggingface.co */
  readonly endpoint?: string;
  /** Default: HF_HUB_CACHE, else `hub` in HF_HOME, else ~/.cache/huggingface/hub */
  readonly cache?: string;
  /** Default: HF_TOKEN, else the token that `hf auth login` stored. Sent to the endpoint only. */
  readonly token?: string;
  /** Use what the cache has and open no connection. Default: HF_HUB_OFFLINE */
  readonly offline?: boolean;
  /** Times that a request is made before a busy or silent server is given up. Default 4 */
  readonly attempts?: number;
  /** Milliseconds before the second attempt, doubled before each further one. Default 500 */
  readonly backoff?: number;
  readonly signal?: AbortSignal;
  readonly environment?: Readonly<Record<string, string | undefined>>;
}

export interface HubSettings {
  readonly endpoint: string;
  readonly cache: string;
  readonly token: string | undefined;
  readonly offline: boolean;
  readonly attempts: number;
  readonly backoff: number;
  readonly signal: AbortSignal | undefined;
}

/** A repository of the hub at one revision. */
export interface HubRepository {
  /** owner/name */
  readonly repo: string;
  readonly type?: 'dataset' | 'model';
  /** Branch, tag or commit. Default main. */
  readonly revision?: string;
}

/** Fills in what the caller left out. @throws KvsiftError `invalid_argument` for an endpoint that is no http address */
export async function hubSettings(options: HubOptions): Promise<HubSettings> {
  const { environment = process.env } = options;
  const set = (name: string) => environment[name] || undefined;
  const endpoint = (options.endpoint ?? set('HF_ENDPOINT') ?? 'https://huggingface.co').replace(/\/+$/, '');
  if (!/^https?:\/\//.test(endpoint) || !URL.canParse(endpoint)) {
    throw new KvsiftError('invalid_argument', `expected the hub's address (https://…), got "${endpoint}"`, { endpoint });
  }
  const home = set('HF_HOME') ?? join(set('XDG_CACHE_HOME') ?? join(homedir(), '.cache'), 'huggingface');
  const stored = () => readFile(set('HF_TOKEN_PATH') ?? join(home, 'token'), 'utf8').catch(() => '');
  return {
    endpoint,
    cache: options.cache ?? set('HF_HUB_CACHE') ?? join(home, 'hub'),
    token: options.token ?? set('HF_TOKEN') ?? ((await stored()).trim() || undefined),
    offline: options.offline ?? /^(1|on|yes|true)$/i.test(set('HF_HUB_OFFLINE') ?? ''),
    attempts: options.attempts ?? 4,
    backoff: options.backoff ?? 500,
    signal: options.signal,
  };
}

/** @throws KvsiftError `invalid_argument` for names that are none, or that would leave the cache folder */
export function checkNames({ repo, revision = 'main' }: HubRepository, paths: readonly string[]): void {
  if (!/^[\w.-]+\/[\w.-]+$/.test(repo) || repo.includes('..')) {
    throw new KvsiftError('invalid_argument', `expected a repository as owner/name, got "${repo}"`, { repo });
  }
  for (const [what, value] of [['revision', revision] as const, ...paths.map((path) => ['path', path] as const)]) {
    const parts = value.split('/');
    if (parts.some((part) => part === '' || part === '.' || part === '..') || /[\\\0]/.test(value)) {
      throw new KvsiftError('invalid_argument', `expected a ${what} inside of ${repo}, got "${value}"`, { [what]: value });
    }
  }
}
