import { ContiguousLayer } from '@kvsift/cache';
import type { Backend, KvView, Tensor } from '@kvsift/tensor';
import { z } from 'zod';
import { closeTo, type Finding } from '../../forward/compare.js';
import type { Family } from '../case-file.js';
import { sameNumbers } from '../compare.js';

const schema = z.strictObject({ case: z.string(), heads: z.int(), kvHeads: z.int(), headDim: z.int() });

/** The flattened layout: one token joins every head of a ragged layer, then each group attends to its own head's rows. */
export const raggedDecodeFamily: Family<z.infer<typeof schema>> = {
  schema,
  async check({ backend, golden }, { case: name, heads, kvHeads, headDim }) {
    const lens = await golden.integers(`${name}.lens`);
    using layer = await raggedLayer(backend, headDim, lens, await golden.floats(`${name}.k`), await golden.floats(`${name}.v`));
    const row = async (tensor: string, width: number): Promise<Tensor> =>
      backend.upload(await golden.floats(`${name}.${tensor}`), 'f32', [1, width]);
    const position = backend.upload(new Int32Array(1), 'i32', [1]);
    const view = layer.reserve(1);
    backend.kvAppend([{ view, rows: 1 }], await row('newK', kvHeads * headDim), await row('newV', kvHeads * headDim), position);
    layer.advance(1);
    const attended = backend.attention(await row('q', heads * headDim), [{ view: layer.view, rows: 1 }], {
      queryHeads: heads,
      scale: 1 / Math.sqrt(headDim),
    });
    const lengths = Array.from(await layer.view.lengths.read());
    const after = await golden.read(`${name}.kAfter`);
    const valuesAfter = await golden.read(`${name}.vAfter`);
    const out = await golden.read(`${name}.out`);
    const cu = [0, ...lengths].map((_, head) => lengths.slice(0, head).reduce((sum, length) => sum + length, 0));
    return {
      lens: sameNumbers(lengths, await golden.integers(`${name}.lensAfter`)),
      cu: sameNumbers(cu, await golden.integers(`${name}.cuAfter`)),
      keys: closeTo(await packed(layer.view, 'keys'), after.values, 0, after.shape),
      values: closeTo(await packed(layer.view, 'values'), valuesAfter.values, 0, valuesAfter.shape),
      out: closeTo(await attended.output.read(), out.values, 1e-5, out.shape),
    } satisfies Record<string, Finding>;
  },
};

/** A flattened layer that holds the rows of each head: filled to the longest head, then cut to the given lengths. */
async function raggedLayer(
  backend: Backend,
  headDim: number,
  lens: Int32Array,
  keys: Float32Array,
  values: Float32Array,
): Promise<ContiguousLayer> {
  const kvHeads = lens.length;
  const longest = Math.max(...lens);
  const layer = new ContiguousLayer('flattened', { backend, dtype: 'f32' }, { kvHeads, headDim, positions: false }, longest);
  const spread = (flat: Float32Array): Tensor => {
    const rows = new Float32Array(longest * kvHeads * headDim);
    let from = 0;
    lens.forEach((count, head) => {
      for (let slot = 0; slot < count; slot++, from += headDim) {
        rows.set(flat.subarray(from, from + headDim), (slot * kvHeads + head) * headDim);
      }
    });
    return backend.upload(rows, 'f32', [longest, kvHeads * headDim]);
  };
  const view = layer.reserve(longest);
  const positions = backend.upload(
    Int32Array.from({ length: longest }, (_, slot) => slot),
    'i32',
    [longest],
  );
  backend.kvAppend([{ view, rows: longest }], spread(keys), spread(values), positions);
  layer.advance(longest);
  const indices = Int32Array.from([...lens].flatMap((count) => Array.from({ length: count }, (_, slot) => slot)));
  const offsets = Int32Array.from([0, ...lens], (_, head) => lens.slice(0, head).reduce((sum, count) => sum + count, 0));
  await layer.compact(backend.selection(indices, offsets));
  return layer;
}

/** Rows of all heads back to back, without head-room. */
async function packed(view: KvView, part: 'keys' | 'values'): Promise<Float32Array> {
  const rows = (await view[part].read()) as Float32Array;
  const [starts, lengths] = await Promise.all([view.starts.read(), view.lengths.read()]);
  return Float32Array.from(
    Array.from(starts).flatMap((start, head) => [
      ...rows.subarray(start * view.headDim, (start + (lengths[head] ?? 0)) * view.headDim),
    ]),
  );
}
