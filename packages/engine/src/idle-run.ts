import type { PolicyRun } from '@kvsift/policy';
import { KvsiftError } from '@kvsift/tensor';

/** A policy that has done its work: only how positions go on is left. */
export function idleRun(nextPosition: 'seen' | 'kept'): PolicyRun {
  return { observe: {}, budgets: [], select: () => 'all', nextPosition, dispose() {}, [Symbol.dispose]() {} };
}

/**
 * What a second sequence needs of a policy at work: its decode state where it has one, else only how positions go on.
 * @throws KvsiftError `unsupported` where the state cannot be copied
 */
export function forkRun(run: PolicyRun | undefined): PolicyRun | undefined {
  if (run === undefined) return undefined;
  if (run.fork !== undefined) return run.fork();
  if (run.decode !== undefined || run.compensation !== undefined) {
    throw new KvsiftError('unsupported', 'this policy keeps state while decoding and cannot be forked');
  }
  return idleRun(run.nextPosition ?? 'seen');
}
