import type { LanguageModel, Session } from '@kvsift/engine';
import type { Tensor } from '@kvsift/tensor';

/** What a golden pass looks at while a prompt is read. */
export interface ObservedPass {
  /** Residual stream of the last token: after the embedding, after every layer, after the final norm. */
  readonly hiddenLast: Float32Array[];
  /** Keys and values of the layers that were asked for, [kvHeads, tokens, headDim]. */
  readonly keys: ReadonlyMap<number, Float32Array>;
  readonly values: ReadonlyMap<number, Float32Array>;
}

/** Reads a prompt and hands each logits row to `onLogits`, from position `firstLogits` on. */
export async function observedPrefill(
  model: LanguageModel,
  session: Session,
  ids: Int32Array,
  options: {
    readonly kvLayers: readonly number[];
    readonly firstLogits: number;
    readonly onLogits: (position: number, logits: Float32Array) => void;
  },
): Promise<ObservedPass> {
  const { decoder } = model;
  const { backend } = decoder;
  const hiddenLast: Float32Array[] = [];
  const keys = new Map<number, Float32Array>();
  const values = new Map<number, Float32Array>();
  using lastId = backend.upload(ids.slice(-1), 'i32', [1]);
  using embedded = decoder.embed(lastId);
  hiddenLast.push((await embedded.read()) as Float32Array);
  await session.prefill(ids, {
    onLayer: async ({ layer, view, hidden }) => {
      if (options.kvLayers.includes(layer)) {
        using k = backend.kvRead(view, 'keys');
        using v = backend.kvRead(view, 'values');
        keys.set(layer, (await k.read()) as Float32Array);
        values.set(layer, (await v.read()) as Float32Array);
      }
      const chunk = hidden.at(-1);
      if (chunk === undefined) return;
      const rows = chunk.shape[0] ?? 0;
      using row = backend.slice(chunk, 0, rows - 1, rows);
      hiddenLast.push((await row.read()) as Float32Array);
      if (layer < decoder.layers.length - 1) return;
      using normed = decoder.norm(row);
      hiddenLast.push((await normed.read()) as Float32Array);
      await readLogits(model, hidden, options.firstLogits, options.onLogits);
    },
  });
  return { hiddenLast, keys, values };
}

/** Logits of all rows from `first` on, a few at a time so that a large vocabulary does not fill the memory. */
export async function readLogits(
  model: LanguageModel,
  hidden: readonly Tensor[],
  first: number,
  onLogits: (position: number, logits: Float32Array) => void,
): Promise<void> {
  const { decoder } = model;
  const { vocabulary } = decoder.config;
  const step = Math.max(1, Math.floor(4e6 / vocabulary));
  let position = 0;
  for (const chunk of hidden) {
    const rows = chunk.shape[0] ?? 0;
    for (let at = Math.max(0, first - position); at < rows; at += step) {
      const end = Math.min(rows, at + step);
      using part = decoder.backend.slice(chunk, 0, at, end);
      using logits = decoder.logits(part);
      const numbers = (await logits.read()) as Float32Array;
      for (let row = at; row < end; row++) {
        onLogits(position + row, numbers.subarray((row - at) * vocabulary, (row - at + 1) * vocabulary));
      }
    }
    position += rows;
  }
}
