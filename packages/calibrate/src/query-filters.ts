import type { LanguageModel } from '@kvsift/engine';
import { observed } from '@kvsift/policy';
import { filterOf } from '@kvsift/policy-q-filters';
import { uniformAt } from '@kvsift/tensor';
import { writeSafetensors } from '@kvsift/weights';
import { idsOf, lookAt } from './look.js';

/** How much text filters are made of. */
export interface FilterOptions {
  /** Tokens read of each text. Default 2048, as published. */
  readonly tokens?: number;
  /** Query vectors per query head. Default 3000, as published. */
  readonly samples?: number;
  readonly seed?: number;
  readonly onProgress?: (done: number, total: number) => void;
}

/** Filters of a model: f32 [layers, kvHeads, headDim]. */
export interface QueryFilters {
  readonly shape: readonly [layers: number, kvHeads: number, headDim: number];
  readonly values: Float32Array;
}

/**
 * Q-Filters of a model (specification 16): per query head the main direction of queries sampled evenly over the texts, turned to where more of them point;
 * the filter of a KV head is minus the mean over its group.
 */
export async function queryFilters(
  model: LanguageModel,
  texts: readonly string[],
  options: FilterOptions = {},
): Promise<QueryFilters> {
  const { tokens = 2048, samples = 3000, seed = 42, onProgress } = options;
  const { layers, kvHeads, queryHeads, headDim } = model.decoder.config;
  const each = Math.ceil(samples / texts.length);
  const rows = layers.map(() => Array.from({ length: queryHeads }, () => [] as number[]));
  for (const [index, text] of texts.entries()) {
    await lookAt(model, idsOf(model, text, tokens), { queries: 'all' }, async (view) => {
      const queries = (await observed(view, 'queries').read()) as Float32Array;
      const width = queryHeads * headDim;
      for (let draw = 0; draw < each; draw++) {
        const at = Math.floor(uniformAt({ seed, sequence: index, layer: 0, purpose: 16 }, 0, draw) * view.length) * width;
        rows[view.layer]?.forEach((own, head) => {
          own.push(...queries.subarray(at + head * headDim, at + (head + 1) * headDim));
        });
      }
    });
    onProgress?.(index + 1, texts.length);
  }
  const group = queryHeads / kvHeads;
  const values = rows.flatMap((heads) =>
    Array.from({ length: kvHeads }, (_, head) => [
      ...filterOf(
        heads.slice(head * group, (head + 1) * group).map((own) => Float32Array.from(own)),
        headDim,
      ),
    ]).flat(),
  );
  return { shape: [layers.length, kvHeads, headDim], values: Float32Array.from(values) };
}

/** Writes filters to the file that `q-filters(filters="...")` reads. */
export async function writeFilters(path: string, { shape, values }: QueryFilters, model: string): Promise<void> {
  await writeSafetensors(path, [{ name: 'filters', dtype: 'F32', shape, data: values }], { format: 'kvsift-q-filters', model });
}
