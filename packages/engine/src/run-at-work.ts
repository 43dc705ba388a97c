import { joinMemories, noMemory, type PolicyRun, type RunMemory } from '@kvsift/policy';
import { KvsiftError } from '@kvsift/tensor';

/** True where a policy has something to do once the prompt has been read. */
function worksOn(run: PolicyRun): boolean {
  return (run.decode ?? run.compensation ?? run.retrieval) !== undefined;
}

/**
 * What a session file must hold of a policy at work and of what it observes; undefined where the prompt was all it had to do with.
 * @throws KvsiftError `unsupported` where it cannot tell
 */
export function memoryOf(run: PolicyRun | undefined, window: RunMemory | undefined): RunMemory | undefined {
  if (run === undefined || !worksOn(run)) return undefined;
  if (run.memory !== undefined) return joinMemories({ policy: run.memory, window: window ?? noMemory });
  throw new KvsiftError(
    'unsupported',
    'this policy works on while tokens are decoded and does not say what a file must hold of it',
  );
}

/**
 * What a second sequence needs of a policy at work; undefined where the prompt was all it had to do with.
 * @throws KvsiftError `unsupported` where the state cannot be copied
 */
export function forkRun(run: PolicyRun | undefined): PolicyRun | undefined {
  if (run === undefined) return undefined;
  if (run.fork !== undefined) return run.fork();
  if (worksOn(run)) {
    throw new KvsiftError('unsupported', 'this policy keeps state while decoding and cannot be forked');
  }
  return undefined;
}

/** @throws KvsiftError `unsupported` where a policy has taken tokens into account since the prompt and cannot forget them */
export function demandRollback(run: PolicyRun | undefined): void {
  if (run === undefined || run.rollback !== undefined || (run.decode ?? run.retrieval) === undefined) return;
  throw new KvsiftError(
    'unsupported',
    'this policy works on while tokens are decoded and cannot take them back: fork the session before, and go on with the fork',
  );
}
