import { type ErrorCode, isKvsiftError } from '@kvsift/tensor';

/** What the exit codes of `kvsift` mean. */
export const exitCodes = {
  ok: 0,
  /** A check failed, or something broke while running. */
  failed: 1,
  /** The command line is wrong: an option, a policy, a budget. */
  usage: 2,
  /** A model, prompt, data or run file is missing or wrong. */
  input: 3,
  /** Interrupted; what was done so far is kept. */
  interrupted: 4,
  /** The machine lacks something: memory, a backend, a GPU. */
  resources: 5,
} as const;

const ofError: Partial<Record<ErrorCode, number>> = {
  invalid_argument: exitCodes.usage,
  budget_invalid: exitCodes.usage,
  policy_unknown: exitCodes.usage,
  policy_invalid: exitCodes.usage,
  run_mismatch: exitCodes.usage,
  file_not_found: exitCodes.input,
  file_unreadable: exitCodes.input,
  file_malformed: exitCodes.input,
  config_invalid: exitCodes.input,
  model_unsupported: exitCodes.input,
  tokenizer_invalid: exitCodes.input,
  template_invalid: exitCodes.input,
  context_length_exceeded: exitCodes.input,
  cache_mismatch: exitCodes.input,
  data_malformed: exitCodes.input,
  download_failed: exitCodes.input,
  aborted: exitCodes.interrupted,
  out_of_memory: exitCodes.resources,
  backend_unavailable: exitCodes.resources,
  queue_unavailable: exitCodes.resources,
};

export function exitCodeOf(error: unknown): number {
  return isKvsiftError(error) ? (ofError[error.code] ?? exitCodes.failed) : exitCodes.failed;
}

/** Shown at the end of `--help`. */
export const exitCodeHelp = `
Exit codes: 0 done · 1 failed · 2 wrong command line · 3 missing or wrong input file · 4 interrupted (what was
done is kept) · 5 not enough memory, or a backend that is not there`;
