import { KvsiftError } from '@kvsift/tensor';

/** The error of kvsift that a promise rejects with. @throws Error where it does not */
export async function failure(promise: Promise<unknown>): Promise<KvsiftError> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof KvsiftError) return error;
  throw new Error(`expected a KvsiftError, not ${String(error)}`);
}
