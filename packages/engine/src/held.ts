import type { CacheStatistics } from '@kvsift/cache';
import type { PolicyRun } from '@kvsift/policy';

/** What a cache holds together with what a policy holds in its place. */
export function withHeld(own: CacheStatistics, run: PolicyRun | undefined): CacheStatistics {
  const held = run?.held?.();
  if (held === undefined) return own;
  return {
    ...own,
    bytes: own.bytes + held.bytes,
    entryBytes: own.entryBytes + held.bytes,
    entries: own.entries + held.entries,
  };
}
