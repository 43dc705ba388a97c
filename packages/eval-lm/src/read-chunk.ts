import type { CacheStatistics } from '@kvsift/cache';
import type { LanguageModel, SessionOptions } from '@kvsift/engine';
import { KvsiftError } from '@kvsift/tensor';
import { lmSteps } from './compression-schedule.js';
import type { ChunkResult } from './summary.js';
import { scoreToken } from './token-score.js';

/** How a chunk is read. */
export interface ReadOptions {
  /** Policy, budget, storage: with a decode rule the cache shrinks at every step, without one only after the prefill. */
  readonly session?: SessionOptions;
  /** Tokens that are read (and evicted) as a prompt before the first prediction. Default 0: token by token from the start. */
  readonly prefill?: number;
  /** Repeats the reference's slip after a prefill: token `prefill` is scored and never fed. Default false. */
  readonly skipsOne?: boolean;
  readonly signal?: AbortSignal;
  /** Called after each prediction, with what the cache holds then. */
  readonly onStep?: (step: { readonly done: number; readonly total: number; readonly cache: CacheStatistics }) => void;
}

/** What a model made of a chunk, and what its cache held at the end. */
export interface ChunkReading extends ChunkResult {
  readonly cache: CacheStatistics;
  readonly seconds: number;
}

/**
 * Reads a chunk with teacher forcing and scores each next token (specification 7). With `prefill` and any policy this is the perplexity of a continuation
 * after eviction; with a policy that evicts while decoding (`everyStep`, `decoding`) the l2compress protocol.
 * @param chunk token ids, begin-of-text included
 * @throws KvsiftError `invalid_argument` where there is nothing to predict; `context_length_exceeded`, `budget_invalid`, `aborted` of the session
 */
export async function readChunk(
  model: LanguageModel,
  chunk: readonly number[] | Int32Array,
  { session: options = {}, prefill = 0, skipsOne = false, signal, onStep }: ReadOptions = {},
): Promise<ChunkReading> {
  const steps = lmSteps(chunk.length, prefill, skipsOne);
  if (steps.length === 0) {
    throw new KvsiftError(
      'invalid_argument',
      `a chunk of ${chunk.length} tokens with a prefill of ${prefill} leaves nothing to predict`,
      { length: chunk.length, prefill },
    );
  }
  const started = performance.now();
  using session = model.session(options);
  const nlls: number[] = [];
  const correct: number[] = [];
  for (const [index, { feed, label }] of steps.entries()) {
    if (signal?.aborted) throw new KvsiftError('aborted', 'language modelling was aborted', {}, { cause: signal.reason });
    const ids = Int32Array.from(feed, (at) => chunk[at] ?? 0);
    let logits: Float32Array;
    if (index === 0) {
      await session.prefill(ids, signal ? { signal } : {});
      logits = await session.logits();
    } else {
      logits = await session.force(ids[0] ?? 0);
    }
    const score = scoreToken(logits, chunk[label] ?? 0);
    nlls.push(score.nll);
    correct.push(score.correct);
    onStep?.({ done: index + 1, total: steps.length, cache: session.statistics() });
  }
  return { nlls, correct, cache: session.statistics(), seconds: (performance.now() - started) / 1000 };
}
