/** Machine-readable reasons. A caller may switch on them; texts may change, codes do not. */
export type ErrorCode =
  | 'invalid_argument'
  | 'shape_mismatch'
  | 'dtype_mismatch'
  | 'disposed'
  | 'out_of_memory'
  | 'unsupported'
  | 'aborted'
  | 'backend_unavailable'
  | 'backend_failure'
  | 'file_not_found'
  | 'file_unreadable'
  | 'file_malformed'
  | 'config_invalid'
  | 'model_unsupported'
  | 'tokenizer_invalid'
  | 'template_invalid'
  | 'context_length_exceeded'
  | 'budget_invalid'
  | 'policy_unknown'
  | 'policy_invalid'
  | 'policy_violation'
  | 'cache_mismatch'
  | 'data_malformed'
  | 'score_error'
  | 'run_mismatch'
  /** Nobody answers at the address of a queue. */
  | 'queue_unavailable'
  /** An evaluation's workers gave up on a sample. */
  | 'worker_failed'
  /** A file could not be fetched, or is not what was promised. */
  | 'download_failed';

/** Facts that a program may want besides the sentence: names, paths, expected and actual values. */
export type ErrorDetails = Readonly<Record<string, unknown>>;

/** The one error class of kvsift: a sentence for people, a code and details for programs. */
export class KvsiftError extends Error {
  override readonly name = 'KvsiftError';

  constructor(
    readonly code: ErrorCode,
    message: string,
    readonly details: ErrorDetails = {},
    options?: { cause?: unknown },
  ) {
    super(message, options);
  }
}

/** True for errors of kvsift, also across two copies of this package in one process. */
export function isKvsiftError(error: unknown): error is KvsiftError {
  return error instanceof Error && error.name === 'KvsiftError' && 'code' in error;
}
