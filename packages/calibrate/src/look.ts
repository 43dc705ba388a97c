import type { LanguageModel } from '@kvsift/engine';
import { type EvictionPolicy, type LayerView, type Observation, uniformLayer } from '@kvsift/policy';

/** Reads a text and hands every layer with what is observed to `look`; nothing is evicted. */
export async function lookAt(
  model: LanguageModel,
  ids: readonly number[] | Int32Array,
  observe: Observation,
  look: (view: LayerView) => Promise<void>,
): Promise<void> {
  const policy: EvictionPolicy = {
    name: 'look',
    parameters: {},
    ragged: false,
    begin: ({ model: shape, promptLength }) => ({
      observe,
      // One entry less than there are, so that every layer is shown.
      budgets: Array.from({ length: shape.layers }, () => uniformLayer(promptLength - 1, shape)),
      async select(view) {
        await look(view);
        return 'all' as const;
      },
      dispose: () => {},
      [Symbol.dispose]: () => {},
    }),
  };
  using session = model.session({ policy, budget: '100%' });
  await session.prefill(ids);
}

/** Token ids of a text, at most `longest`. */
export function idsOf(model: LanguageModel, text: string, longest: number): Int32Array {
  const { tokenizer } = model;
  if (tokenizer === undefined) throw new Error('calibration needs a model with a tokenizer');
  return tokenizer.encode(text).slice(0, longest);
}
