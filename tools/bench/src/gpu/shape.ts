import { LanguageModel } from '@kvsift/engine';
import { DecoderModel, type ModelConfig } from '@kvsift/models';
import type { Backend, StoredTensor } from '@kvsift/tensor';
import { withSyntheticWeights } from './synthetic-weights.js';

export interface ModelSize {
  readonly layers: number;
  readonly hidden: number;
  readonly intermediate: number;
  readonly queryHeads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly vocabulary: number;
}

/** The shape of an 8B model: 32 layers of 4096, 32 query and 8 KV heads of 128, a feed-forward part of 14336. */
export const size8B: ModelSize = {
  ...{ layers: 32, hidden: 4096, intermediate: 14336, queryHeads: 32, kvHeads: 8, headDim: 128, vocabulary: 128256 },
};

/** Bytes of the table of embeddings, bf16. */
export const embeddingBytes = ({ vocabulary, hidden }: ModelSize): number => 2 * vocabulary * hidden;

/** A model of that shape without files. @throws KvsiftError `out_of_memory` */
export async function syntheticModel(backend: Backend, size: ModelSize, contextLength: number): Promise<LanguageModel> {
  const { layers, hidden, intermediate, queryHeads, kvHeads, headDim, vocabulary } = size;
  const rope = { theta: 500_000, dimensions: headDim, scaling: { type: 'default' } } as const;
  const config: ModelConfig = {
    ...{ architecture: 'llama', hidden, intermediate, queryHeads, kvHeads, headDim, vocabulary, contextLength },
    layers: Array.from({ length: layers }, () => ({ rope })),
    ...{ normEpsilon: 1e-5, normWeightOffset: 0, embeddingScale: 1, activation: 'silu', attentionScale: 1 / Math.sqrt(headDim) },
    ...{ headNorms: false, postNorms: false },
  };
  const tensors = new Map<string, StoredTensor>();
  const add = (name: string, ...shape: number[]) => {
    const byteLength = 2 * shape.reduce((product, axis) => product * axis, 1);
    tensors.set(name, { name, dtype: 'bf16', shape, path: 'nowhere', byteOffset: 0, byteLength });
  };
  add('model.embed_tokens.weight', vocabulary, hidden);
  add('model.norm.weight', hidden);
  add('lm_head.weight', vocabulary, hidden);
  for (let layer = 0; layer < layers; layer++) {
    const own = (name: string, ...shape: number[]) => add(`model.layers.${layer}.${name}.weight`, ...shape);
    own('input_layernorm', hidden);
    own('post_attention_layernorm', hidden);
    own('self_attn.q_proj', queryHeads * headDim, hidden);
    own('self_attn.k_proj', kvHeads * headDim, hidden);
    own('self_attn.v_proj', kvHeads * headDim, hidden);
    own('self_attn.o_proj', hidden, queryHeads * headDim);
    own('mlp.gate_proj', intermediate, hidden);
    own('mlp.up_proj', intermediate, hidden);
    own('mlp.down_proj', hidden, intermediate);
  }
  const source = { config, format: 'safetensors', tensors, path: 'a model without files' } as const;
  const decoder = await DecoderModel.load(withSyntheticWeights(backend), source);
  const files = { path: source.path, weights: { format: 'safetensors', tensors } as never, config, eosIds: new Set<number>() };
  return new LanguageModel(decoder, files, contextLength);
}
