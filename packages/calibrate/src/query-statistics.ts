import type { LanguageModel } from '@kvsift/engine';
import { observed } from '@kvsift/policy';
import { KvsiftError } from '@kvsift/tensor';
import { writeSafetensors } from '@kvsift/weights';
import { idsOf, lookAt } from './look.js';

/** How much text statistics of queries are made of. */
export interface StatisticsOptions {
  /** Pieces of text that are read. Default 100, as published. */
  readonly samples?: number;
  /** Characters of each. Default 1000, as published. */
  readonly characters?: number;
  /** First tokens of each piece that do not count. Default 4, as published. */
  readonly sinks?: number;
  readonly onProgress?: (done: number, total: number) => void;
}

/** Mean and covariance of a model's queries before rotation, layer by layer and query head by query head. */
export interface QueryStatistics {
  readonly shape: readonly [layers: number, queryHeads: number, headDim: number];
  /** f32 [layers, queryHeads, headDim] */
  readonly mean: Float32Array;
  /** f32 [layers, queryHeads, headDim, headDim], divided by one less than the number of queries */
  readonly covariance: Float32Array;
}

/** Sums over the queries that a layer has seen; products are of differences from the mean. */
interface Moments {
  readonly mean: Float64Array;
  readonly products: Float64Array;
}

/**
 * What Expected Attention (specification 15) needs to know of a model's queries, in place of those of each prompt: pieces of the texts are read, the first
 * piece of each text before the second of any.
 * @throws KvsiftError `invalid_argument` where no piece is long enough
 */
export async function queryStatistics(
  model: LanguageModel,
  texts: readonly string[],
  options: StatisticsOptions = {},
): Promise<QueryStatistics> {
  const { samples = 100, characters = 1000, sinks = 4, onProgress } = options;
  const { layers, queryHeads, headDim } = model.decoder.config;
  const moments = layers.map(
    (): Moments => ({
      mean: new Float64Array(queryHeads * headDim),
      products: new Float64Array(queryHeads * headDim * headDim),
    }),
  );
  const pieces = piecesOf(texts, samples, characters)
    .map((text) => idsOf(model, text, model.contextLength))
    .filter((ids) => ids.length > sinks);
  if (pieces.length === 0)
    throw new KvsiftError('invalid_argument', `query statistics need a text of more than ${sinks} tokens; these have none`);
  let before = 0;
  for (const [index, ids] of pieces.entries()) {
    const count = ids.length - sinks;
    await lookAt(model, ids, { queriesBeforeRotation: 'all' }, async (view) => {
      const found = view.backend.covariance(observed(view, 'queriesBeforeRotation'), { heads: queryHeads, first: sinks });
      const [mean, covariance] = (await Promise.all([found.mean.read(), found.covariance.read()])) as Float32Array[];
      const own = moments[view.layer];
      if (own && mean && covariance) join(own, before, { mean, covariance, count }, headDim);
    });
    before += count;
    onProgress?.(index + 1, pieces.length);
  }
  const divisor = Math.max(1, before - 1);
  const width = queryHeads * headDim;
  const mean = new Float32Array(layers.length * width);
  const covariance = new Float32Array(layers.length * width * headDim);
  for (const [layer, own] of moments.entries()) {
    mean.set(own.mean, layer * width);
    covariance.set(
      own.products.map((sum) => sum / divisor),
      layer * width * headDim,
    );
  }
  return { shape: [layers.length, queryHeads, headDim], mean, covariance };
}

/** Adds the moments of a piece to those of `before` queries. */
function join(
  { mean, products }: Moments,
  before: number,
  piece: { readonly mean: Float32Array; readonly covariance: Float32Array; readonly count: number },
  headDim: number,
): void {
  const { count } = piece;
  const all = before + count;
  const apart = Float64Array.from(mean, (value, at) => (piece.mean[at] ?? 0) - value);
  for (let at = 0; at < products.length; at++) {
    const row = Math.floor(at / headDim);
    const column = Math.floor(row / headDim) * headDim + (at % headDim);
    const between = (apart[row] ?? 0) * (apart[column] ?? 0) * ((before * count) / all);
    products[at] = (products[at] ?? 0) + count * (piece.covariance[at] ?? 0) + between;
  }
  for (let at = 0; at < mean.length; at++) mean[at] = (mean[at] ?? 0) + ((apart[at] ?? 0) * count) / all;
}

/** Pieces of texts, as many as are asked for or as there are: the first of each text, then the second. */
function piecesOf(texts: readonly string[], most: number, characters: number): string[] {
  const pieces: string[] = [];
  const longest = Math.max(0, ...texts.map(({ length }) => length));
  for (let start = 0; start < longest && pieces.length < most; start += characters)
    for (const text of texts) if (start < text.length) pieces.push(text.slice(start, start + characters));
  return pieces.slice(0, most);
}

/** Writes statistics to the file that `expected-attention(statistics="...")` reads. */
export async function writeStatistics(path: string, statistics: QueryStatistics, model: string): Promise<void> {
  const { shape, mean, covariance } = statistics;
  const [, , headDim] = shape;
  await writeSafetensors(
    path,
    [
      { name: 'mean', dtype: 'F32', shape, data: mean },
      { name: 'covariance', dtype: 'F32', shape: [...shape, headDim], data: covariance },
    ],
    { format: 'kvsift-query-statistics', model },
  );
}
