import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { KvsiftError } from '@kvsift/tensor';

/** What of a package.json tells where a policy is and which. */
export interface Manifest {
  readonly version?: string;
  readonly main?: string;
  readonly exports?: { readonly '.'?: string | { readonly default?: string } };
}

/** The package.json of a folder; empty where there is none. @throws KvsiftError `policy_unknown` where it is no JSON */
export function manifestOf(folder: string): Manifest {
  const path = join(folder, 'package.json');
  if (!existsSync(path)) return {};
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Manifest;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new KvsiftError('policy_unknown', `${path} cannot be read: ${reason}`, { path }, { cause });
  }
}
