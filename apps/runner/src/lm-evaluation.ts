import { appendFile, readFile, writeFile } from 'node:fs/promises';
import type { LanguageModel } from '@kvsift/engine';
import { type ChunkResult, compareReadings, type LmComparison, readChunk, summarizeChunk } from '@kvsift/eval-lm';
import { type EvictionPolicy, formatPolicy } from '@kvsift/policy';
import { KvsiftError } from '@kvsift/tensor';
import { z } from 'zod';

/** A way to treat the cache while a text is read. */
export interface LmCell {
  readonly label: string;
  readonly budget: string;
  readonly policy?: EvictionPolicy;
}

/** One chunk under one cell: a line of the file. */
const readingSchema = z.object({
  model: z.string(),
  policy: z.string(),
  budget: z.string(),
  prefill: z.number(),
  chunk: z.number(),
  tokens: z.number(),
  nlls: z.array(z.number()),
  correct: z.array(z.number()),
  cacheBytes: z.number(),
  seconds: z.number(),
});
type Reading = z.output<typeof readingSchema>;

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
  /** JSON lines to continue and to add to. */
  readonly file?: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (text: string) => void;
}

/** Reads chunks under every cell, the full cache first; readings that the file has are not made again. @throws KvsiftError `data_malformed` for a file that is none */
export async function evaluateLm(
  model: LanguageModel,
  chunks: readonly (readonly number[])[],
  cells: readonly LmCell[],
  { prefill, file, signal, onProgress = () => {} }: LmOptions,
): Promise<LmRow[]> {
  const stored = file === undefined ? [] : await readStored(file);
  const fingerprint = await model.fingerprint();
  const rows: LmRow[] = [];
  let full: readonly ChunkResult[] | undefined;
  for (const { label, budget, policy } of [{ label: 'full', budget: '100%' }, ...cells] as readonly LmCell[]) {
    const readings: Reading[] = [];
    for (const [chunk, ids] of chunks.entries()) {
      const key = {
        model: fingerprint,
        policy: policy === undefined ? 'full' : formatPolicy(policy),
        budget,
        prefill,
        chunk,
        tokens: ids.length,
      };
      const present = stored.find((one) => Object.entries(key).every(([name, value]) => one[name as keyof Reading] === value));
      if (present !== undefined) {
        readings.push(present);
        continue;
      }
      const { nlls, correct, cache, seconds } = await readChunk(model, ids, {
        session: policy === undefined ? {} : { policy, budget },
        prefill,
        ...(signal && { signal }),
        onStep: ({ done, total }) =>
          onProgress(`${label} ${budget}: chunk ${chunk + 1} of ${chunks.length}, token ${done} of ${total}`),
      });
      const reading = { ...key, nlls: [...nlls], correct: [...correct], cacheBytes: cache.bytes, seconds };
      if (file !== undefined) await appendFile(file, `${JSON.stringify(reading)}\n`);
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

/** Lines that were stored; a torn last one is cut off. */
async function readStored(file: string): Promise<Reading[]> {
  const text = await readFile(file, 'utf8').catch(() => '');
  const whole = text.slice(0, text.lastIndexOf('\n') + 1);
  if (whole !== text) await writeFile(file, whole);
  return whole
    .split('\n')
    .filter((line) => line !== '')
    .map((line, index) => {
      const checked = readingSchema.safeParse(parse(line));
      if (checked.success) return checked.data;
      throw new KvsiftError('data_malformed', `${file}, line ${index + 1}: expected a reading of kvsift lm`, {
        file,
        line: index + 1,
      });
    });
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
