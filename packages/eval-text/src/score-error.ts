import { isKvsiftError, KvsiftError } from '@kvsift/tensor';

/** Names of the exceptions with which reference scorers stop; they are part of what a reference profile reproduces. */
export type ScoreErrorKind = 'ValueError' | 'TypeError' | 'IndexError' | 'AssertionError' | 'ZeroDivisionError';

/** A prediction or label on which the named reference raises. `details.kind` holds the Python exception. */
export function scoreError(kind: ScoreErrorKind, message: string): KvsiftError {
  return new KvsiftError('score_error', message, { kind });
}

/** Runs a scorer; a `score_error` becomes a value, everything else is thrown on. */
export function guardScore<T>(scorer: () => T): T | { error: string; message: string } {
  try {
    return scorer();
  } catch (error) {
    if (!isKvsiftError(error) || error.code !== 'score_error') throw error;
    return { error: String(error.details.kind), message: error.message };
  }
}
