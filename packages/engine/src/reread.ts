import type { KvCache } from '@kvsift/cache';
import type { DecoderModel } from '@kvsift/models';
import { type PolicyRun, type Reread, uniformLayer } from '@kvsift/policy';
import { scoped } from '@kvsift/tensor';
import { applyDecision } from './layer-view.js';
import { type PrefillOptions, prefill } from './prefill.js';

/** Runs the second reading of a policy on a cache that holds the whole prompt, then shrinks the layers. */
export async function reread(
  model: DecoderModel,
  cache: KvCache,
  prompt: Int32Array,
  policy: Reread,
  encode: (text: string) => Int32Array,
  options: Pick<PrefillOptions, 'signal' | 'seed' | 'sequence' | 'expectedLength'>,
): Promise<void> {
  for (const [pass, ids] of policy.passes(prompt, encode).entries()) {
    using _last = await prefill(model, cache, ids, { ...options, run: onlooker(model, policy, pass) });
    cache.rollback(ids.length);
  }
  using scope = scoped(model.backend);
  for (const [layer, decision] of (await policy.decide(scope.backend)).entries()) {
    await applyDecision(cache.layer(layer), decision, layer);
  }
}

/** A run that is shown every layer and evicts nothing. */
function onlooker(model: DecoderModel, policy: Reread, pass: number): PolicyRun {
  const { layers, kvHeads } = model.config;
  return {
    observe: policy.observe,
    // Less than any cache holds, so that every layer is shown.
    budgets: layers.map(() => uniformLayer(0, { kvHeads })),
    async select(view) {
      await policy.look(pass, view);
      return 'all' as const;
    },
    dispose: () => {},
    [Symbol.dispose]: () => {},
  };
}
