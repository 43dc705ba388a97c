import { entryBytes, type KvCache, type LayerCache } from '@kvsift/cache';
import type { DecoderModel, ModelConfig } from '@kvsift/models';
import type { Decision, LayerView, ModelShape, Survivors } from '@kvsift/policy';
import { type AttentionShape, type KvStorage, KvsiftError } from '@kvsift/tensor';
import type { Scope } from './scope.js';

/** Softmax of one layer as its model defines it. */
export function attentionShape(config: ModelConfig, layer: number): AttentionShape {
  const window = config.layers[layer]?.window;
  return {
    queryHeads: config.queryHeads,
    scale: config.attentionScale,
    ...(config.attentionSoftcap !== undefined && { softcap: config.attentionSoftcap }),
    ...(window !== undefined && { window }),
  };
}

/** The numbers that policies and budgets depend on. @param tracked whether layers without a window keep positions too */
export function modelShape(config: ModelConfig, storage: Pick<KvStorage, 'dtype'>, tracked = false): ModelShape {
  const windows = config.layers.map((layer) => layer.window);
  const windowed = windows.some((window) => window !== undefined);
  return {
    layers: config.layers.length,
    queryHeads: config.queryHeads,
    kvHeads: config.kvHeads,
    headDim: config.headDim,
    hidden: config.hidden,
    entryBytes: entryBytes(storage, { kvHeads: config.kvHeads, headDim: config.headDim, positions: tracked || windowed }),
    attentionScale: config.attentionScale,
    ...(windowed && { windows }),
  };
}

/** What every layer view has, in prefill and while decoding. */
export function describeLayer(
  model: DecoderModel,
  cache: KvCache,
  index: number,
  length: number,
  scope: Scope,
  identity: { readonly seed: number; readonly sequence: number },
): Omit<LayerView, 'budget' | 'seen'> {
  const layer = model.layers[index];
  if (layer === undefined) throw new KvsiftError('invalid_argument', `the model has no layer ${index}`);
  const { view } = cache.layer(index);
  return {
    layer: index,
    model: modelShape(
      model.config,
      cache.options.storage,
      cache.options.layers.some(({ positions }) => positions),
    ),
    length: view.maxLength,
    backend: scope.backend,
    keep: scope.keep,
    cache: view,
    attention: attentionShape(model.config, index),
    rope: model.rope(layer, length),
    seed: identity.seed,
    sequence: identity.sequence,
    ...(cache.numberedAnew && { nextPosition: view.maxLength }),
  };
}

/** Compacts a layer to what a policy decided; `goesOn`: while text is generated. @throws KvsiftError `policy_violation` where that is not of this layer's heads, or more than there is */
export async function applyDecision(storage: LayerCache, decision: Decision, layer: number, goesOn = false): Promise<void> {
  if (decision === 'all') return;
  const survivors: Survivors = 'selection' in decision ? decision : { selection: decision };
  const { selection } = survivors;
  const { kvHeads } = storage.view;
  const heads = (selection.offsets.shape[0] ?? 0) - 1;
  if (heads !== kvHeads) {
    throw new KvsiftError(
      'policy_violation',
      `layer ${layer}: the policy must choose for ${kvHeads} KV heads, its selection has ${heads}`,
      { layer },
    );
  }
  if (selection.total > storage.entries) {
    throw new KvsiftError(
      'policy_violation',
      `layer ${layer}: the policy keeps ${selection.total} of ${storage.entries} entries`,
      { layer },
    );
  }
  await storage.compact(selection, survivors, goesOn);
}
