import type { Backend } from '@kvsift/tensor';
import type { Follower } from './sequence.js';

/**
 * Lets a policy take note of more of the text while `work` reads it. Where that fails, what the policy had gathered before is given to `goBack`: nothing, where it cannot
 * be copied.
 */
export async function following<T>(
  backend: Backend,
  follower: Follower | undefined,
  goBack: (before: Follower | undefined, error: unknown) => void,
  work: () => Promise<T>,
): Promise<T> {
  if (follower === undefined) return work();
  const run = follower.run.fork?.();
  const window = follower.window.fork(backend);
  const drop = () => {
    run?.dispose();
    window[Symbol.dispose]();
  };
  let read: T;
  try {
    read = await work();
  } catch (error) {
    if (run === undefined) drop();
    goBack(run && { run, window }, error);
    throw error;
  }
  drop();
  return read;
}
