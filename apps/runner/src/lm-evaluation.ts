import { createHash } from 'node:crypto';
import type { LanguageModel } from '@kvsift/engine';
import { type ChunkResult, compareReadings, type LmComparison, readChunk, summarizeChunk } from '@kvsift/eval-lm';
import { type EvictionPolicy, formatPolicy, namedBudget } from '@kvsift/policy';
import type { BackendInfo } from '@kvsift/tensor';
import type { LmReading, LmReadings } from './lm-readings.js';

/** A way to treat the cache while a text is read. */
export interface LmCell {
  readonly label: string;
  readonly budget: string;
  readonly policy?: EvictionPolicy;
  /** As `outsideVersions` tells them. */
  readonly outside?: Readonly<Record<string, string>>;
}

export interface LmRow extends LmComparison {
  readonly label: string;
  readonly budget: string;
  /** Mean bytes of the cache at the end of a chunk. */
  readonly cacheBytes: number;
  /** Running perplexity of the first chunk. */
  readonly curve: readonly number[];
}

export interface LmOptions {
  readonly prefill: number;
  /** What is known already, and where the rest is kept. */
  readonly readings: LmReadings;
  readonly backend: BackendInfo;
  readonly signal?: AbortSignal;
  readonly onProgress?: (text: string) => void;
}

/** Reads chunks under every cell, the full cache first; readings that are known are not made again. */
export async function evaluateLm(
  model: LanguageModel,
  chunks: readonly (readonly number[])[],
  cells: readonly LmCell[],
  { prefill, readings: known, backend, signal, onProgress = () => {} }: LmOptions,
): Promise<LmRow[]> {
  const fingerprint = await model.fingerprint();
  const rows: LmRow[] = [];
  let full: readonly ChunkResult[] | undefined;
  for (const { label, budget, policy, outside = {} } of [{ label: 'full', budget: '100%' }, ...cells] as readonly LmCell[]) {
    const readings: LmReading[] = [];
    for (const [chunk, ids] of chunks.entries()) {
      const key = {
        model: fingerprint,
        text: createHash('sha256').update(JSON.stringify(ids)).digest('hex').slice(0, 16),
        backend: backend.name,
        kernels: backend.description,
        compute: backend.compute,
        policy: [policy === undefined ? 'full' : formatPolicy(policy), ...Object.entries(outside).flat()].join(' '),
        budget,
        prefill,
      };
      const present = known.find(key);
      if (present !== undefined) {
        readings.push(present);
        continue;
      }
      const { nlls, correct, cache, seconds } = await readChunk(model, ids, {
        session: policy === undefined ? {} : { policy, ...namedBudget(budget) },
        prefill,
        ...(signal && { signal }),
        onStep: ({ done, total }) =>
          onProgress(`${label} ${budget}: chunk ${chunk + 1} of ${chunks.length}, token ${done} of ${total}`),
      });
      const scores = { nlls: [...nlls], correct: [...correct], cacheBytes: cache.bytes, seconds };
      const reading = { ...key, chunk, tokens: ids.length, ...scores };
      await known.add(reading);
      readings.push(reading);
    }
    const [first] = readings;
    rows.push({
      label,
      budget,
      ...compareReadings(readings, full),
      cacheBytes: readings.reduce((sum, { cacheBytes }) => sum + cacheBytes, 0) / readings.length,
      curve: first === undefined ? [] : summarizeChunk(first).runningPerplexity,
    });
    full ??= readings;
  }
  return rows;
}
