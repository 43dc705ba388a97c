import type { LanguageModel } from '@kvsift/engine';
import { observed } from '@kvsift/policy';
import { idsOf, lookAt } from './look.js';

/** Positions over which the mean query looks back. */
const positions = 500;

/**
 * Gates for DuoAttention without training, as kvpress scores heads on the fly (specification 22): the mean query and the mean key before rotation,
 * put at 500 positions each; the attention of the last query over the keys, summed up from the start, and averaged. A head whose mass lies on early
 * positions retrieves; one that only looks at its neighbours streams.
 * @returns [layers][queryHeads], each 0 … 1: what `duo-attention(table="...")` reads as `importance`
 */
export async function streamingGates(model: LanguageModel, texts: readonly string[], tokens = 1000): Promise<number[][]> {
  const { layers, queryHeads, kvHeads, headDim, attentionScale } = model.decoder.config;
  const sums = layers.map(() => ({ queries: new Float64Array(queryHeads * headDim), keys: new Float64Array(kvHeads * headDim) }));
  const ropes: { frequencies: Float32Array; scale: number }[] = [];
  let rows = 0;
  for (const text of texts) {
    await lookAt(model, idsOf(model, text, tokens), { queriesBeforeRotation: 'all', keysBeforeRotation: true }, async (view) => {
      const own = sums[view.layer];
      if (own === undefined) return;
      if (view.layer === 0) rows += view.length;
      for (const [name, into] of [
        ['queriesBeforeRotation', own.queries],
        ['keysBeforeRotation', own.keys],
      ] as const) {
        const numbers = (await observed(view, name).read()) as Float32Array;
        for (const [index, value] of numbers.entries()) {
          const column = index % into.length;
          into[column] = (into[column] ?? 0) + value;
        }
      }
      ropes[view.layer] ??= {
        frequencies: (await view.rope.inverseFrequencies.read()) as Float32Array,
        scale: view.rope.scale,
      };
    });
  }
  const group = queryHeads / kvHeads;
  return sums.map(({ queries, keys }, layer) => {
    const { frequencies = new Float32Array(), scale = 1 } = ropes[layer] ?? {};
    const mean = (values: Float64Array, head: number) =>
      values.subarray(head * headDim, (head + 1) * headDim).map((value) => value / rows);
    return Array.from({ length: queryHeads }, (_, head) => {
      const [q, k] = [mean(queries, head), mean(keys, Math.floor(head / group))];
      const logits = Array.from(
        { length: positions },
        (__, at) => attentionScale * scale ** 2 * rotatedProduct(q, k, positions - 1 - at, frequencies),
      );
      return meanRunningSum(logits);
    });
  });
}

/** q at a position `distance` behind k, both rotated: pairs are (c, c + rotary / 2), other channels stay. */
function rotatedProduct(q: Float64Array, k: Float64Array, distance: number, frequencies: Float32Array): number {
  const half = frequencies.length;
  let sum = 0;
  for (let c = 0; c < half; c++) {
    const angle = distance * (frequencies[c] ?? 0);
    const [qa, qb, ka, kb] = [q[c] ?? 0, q[c + half] ?? 0, k[c] ?? 0, k[c + half] ?? 0];
    sum += Math.cos(angle) * (qa * ka + qb * kb) + Math.sin(angle) * (qa * kb - qb * ka);
  }
  for (let c = 2 * half; c < q.length; c++) sum += (q[c] ?? 0) * (k[c] ?? 0);
  return sum;
}

function meanRunningSum(logits: readonly number[]): number {
  const most = Math.max(...logits);
  const weights = logits.map((logit) => Math.exp(logit - most));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  let [running, sum] = [0, 0];
  for (const weight of weights) {
    running += weight / total;
    sum += running;
  }
  return sum / weights.length;
}
