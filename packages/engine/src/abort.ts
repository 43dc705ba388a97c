import { KvsiftError } from '@kvsift/tensor';

/** @throws KvsiftError `aborted` where the signal has fired */
export function throwIfAborted(signal: AbortSignal | undefined, what: string): void {
  if (signal?.aborted) throw new KvsiftError('aborted', `${what} was aborted`, {}, { cause: signal.reason });
}
