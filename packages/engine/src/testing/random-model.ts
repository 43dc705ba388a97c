import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { uniformAt } from '@kvsift/tensor';

/** Sizes of a made-up Llama. */
export interface RandomModel {
  readonly layers: number;
  readonly hidden: number;
  readonly intermediate: number;
  readonly queryHeads: number;
  readonly kvHeads: number;
  readonly vocabulary: number;
  readonly contextLength: number;
  /** Sliding window of all layers (makes it a Mistral). */
  readonly window?: number;
}

export const smallModel: RandomModel = {
  layers: 3,
  hidden: 32,
  intermediate: 48,
  queryHeads: 4,
  kvHeads: 2,
  vocabulary: 61,
  contextLength: 256,
};

/** Writes a Hugging Face folder with random weights, large enough that attention is peaky. */
export async function writeRandomModel(folder: string, model: RandomModel = smallModel): Promise<string> {
  const { layers, hidden, intermediate, queryHeads, kvHeads, vocabulary } = model;
  const kvWidth = (hidden / queryHeads) * kvHeads;
  const shapes: [string, number[]][] = [
    ['model.embed_tokens.weight', [vocabulary, hidden]],
    ['model.norm.weight', [hidden]],
    ...Array.from({ length: layers }, (_, layer): [string, number[]][] => [
      [`model.layers.${layer}.input_layernorm.weight`, [hidden]],
      [`model.layers.${layer}.post_attention_layernorm.weight`, [hidden]],
      [`model.layers.${layer}.self_attn.q_proj.weight`, [hidden, hidden]],
      [`model.layers.${layer}.self_attn.k_proj.weight`, [kvWidth, hidden]],
      [`model.layers.${layer}.self_attn.v_proj.weight`, [kvWidth, hidden]],
      [`model.layers.${layer}.self_attn.o_proj.weight`, [hidden, hidden]],
      [`model.layers.${layer}.mlp.gate_proj.weight`, [intermediate, hidden]],
      [`model.layers.${layer}.mlp.up_proj.weight`, [intermediate, hidden]],
      [`model.layers.${layer}.mlp.down_proj.weight`, [hidden, intermediate]],
    ]).flat(),
  ];
  const header: Record<string, { dtype: 'F32'; shape: number[]; data_offsets: [number, number] }> = {};
  const parts: Buffer[] = [];
  let offset = 0;
  for (const [index, [name, shape]] of shapes.entries()) {
    const count = shape.reduce((product, size) => product * size, 1);
    const spread = shape.length === 1 ? 0 : 4 / Math.sqrt(shape[1] ?? 1);
    const values = Float32Array.from({ length: count }, (_, at) => {
      const centred = uniformAt({ seed: 7, sequence: 0, layer: index, purpose: 0 }, 0, at) - 0.5;
      return shape.length === 1 ? 1 : centred * spread;
    });
    const bytes = Buffer.from(values.buffer);
    header[name] = { dtype: 'F32', shape, data_offsets: [offset, offset + bytes.length] };
    offset += bytes.length;
    parts.push(bytes);
  }
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'model.safetensors'), Buffer.concat([length, text, ...parts]));
  const config = {
    model_type: model.window === undefined ? 'llama' : 'mistral',
    hidden_size: hidden,
    intermediate_size: intermediate,
    num_hidden_layers: layers,
    num_attention_heads: queryHeads,
    num_key_value_heads: kvHeads,
    vocab_size: vocabulary,
    max_position_embeddings: model.contextLength,
    rms_norm_eps: 1e-5,
    rope_theta: 10000,
    hidden_act: 'silu',
    tie_word_embeddings: true,
    eos_token_id: vocabulary - 1,
    ...(model.window !== undefined && { sliding_window: model.window }),
  };
  await writeFile(join(folder, 'config.json'), JSON.stringify(config));
  return folder;
}
