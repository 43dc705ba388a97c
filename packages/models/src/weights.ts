import { KvsiftError, type StoredTensor } from '@kvsift/tensor';
import type { ModelConfig } from './config.js';

/** Where the weights of one layer lie. Lists are stacked by rows. */
export interface LayerWeights {
  readonly attentionNorm: StoredTensor;
  readonly qkv: readonly StoredTensor[];
  readonly qkvBias?: readonly StoredTensor[];
  readonly queryNorm?: StoredTensor;
  readonly keyNorm?: StoredTensor;
  readonly output: StoredTensor;
  readonly outputBias?: StoredTensor;
  readonly postAttentionNorm?: StoredTensor;
  readonly feedForwardNorm: StoredTensor;
  readonly gateUp: readonly StoredTensor[];
  readonly gateUpBias?: readonly StoredTensor[];
  readonly down: StoredTensor;
  readonly downBias?: StoredTensor;
  readonly postFeedForwardNorm?: StoredTensor;
}

/** Where the weights of a model lie. */
export interface ModelWeights {
  readonly embedding: StoredTensor;
  readonly layers: readonly LayerWeights[];
  readonly finalNorm: StoredTensor;
  /** Output matrix; the embedding where they are tied. */
  readonly head: StoredTensor;
}

/** Finds tensors by name and checks their shapes. */
class Directory {
  constructor(
    readonly tensors: ReadonlyMap<string, StoredTensor>,
    readonly source: string,
  ) {}

  get(name: string, shape: readonly number[]): StoredTensor {
    const found = this.find(name, shape);
    if (found === undefined) throw new KvsiftError('file_malformed', `${this.source}: the tensor ${name} is missing`, { name });
    return found;
  }

  find(name: string, shape: readonly number[]): StoredTensor | undefined {
    const found = this.tensors.get(name);
    if (found !== undefined && (found.shape.length !== shape.length || found.shape.some((size, axis) => size !== shape[axis]))) {
      throw new KvsiftError(
        'file_malformed',
        `${this.source}: ${name} has shape [${found.shape.join(', ')}], the config asks for [${shape.join(', ')}]`,
        { name, shape: found.shape, expected: shape },
      );
    }
    return found;
  }

  /** All of them or none. */
  findAll(names: readonly (readonly [name: string, rows: number])[]): StoredTensor[] | undefined {
    const found = names.map(([name, rows]) => this.find(name, [rows]));
    if (found.every((tensor) => tensor === undefined)) return undefined;
    return found.map((tensor, index) => tensor ?? this.get(names[index]?.[0] ?? '', [names[index]?.[1] ?? 0]));
  }
}

/** Names in one naming scheme: Hugging Face or GGUF. */
interface Names {
  readonly embedding: string;
  readonly finalNorm: string;
  readonly head: string;
  readonly layer: (index: number) => (part: Part) => string;
}

type Part =
  | 'attentionNorm'
  | 'q'
  | 'k'
  | 'v'
  | 'qkv'
  | 'queryNorm'
  | 'keyNorm'
  | 'output'
  | 'postAttentionNorm'
  | 'feedForwardNorm'
  | 'gate'
  | 'up'
  | 'gateUp'
  | 'down'
  | 'postFeedForwardNorm';

/** `sandwich`: Gemma calls the norm before the feed-forward block otherwise, because the other name is taken by the one after attention. */
function huggingFaceNames(sandwich: boolean): Names {
  const parts: Readonly<Record<Part, string>> = {
    attentionNorm: 'input_layernorm',
    q: 'self_attn.q_proj',
    k: 'self_attn.k_proj',
    v: 'self_attn.v_proj',
    qkv: 'self_attn.qkv_proj',
    queryNorm: 'self_attn.q_norm',
    keyNorm: 'self_attn.k_norm',
    output: 'self_attn.o_proj',
    postAttentionNorm: 'post_attention_layernorm',
    feedForwardNorm: sandwich ? 'pre_feedforward_layernorm' : 'post_attention_layernorm',
    gate: 'mlp.gate_proj',
    up: 'mlp.up_proj',
    gateUp: 'mlp.gate_up_proj',
    down: 'mlp.down_proj',
    postFeedForwardNorm: 'post_feedforward_layernorm',
  };
  return {
    embedding: 'model.embed_tokens.weight',
    finalNorm: 'model.norm.weight',
    head: 'lm_head.weight',
    layer: (index) => (part) => `model.layers.${index}.${parts[part]}`,
  };
}

const ggufParts: Readonly<Record<Part, string>> = {
  attentionNorm: 'attn_norm',
  q: 'attn_q',
  k: 'attn_k',
  v: 'attn_v',
  qkv: 'attn_qkv',
  queryNorm: 'attn_q_norm',
  keyNorm: 'attn_k_norm',
  output: 'attn_output',
  postAttentionNorm: 'post_attention_norm',
  feedForwardNorm: 'ffn_norm',
  gate: 'ffn_gate',
  up: 'ffn_up',
  gateUp: 'ffn_up',
  down: 'ffn_down',
  postFeedForwardNorm: 'post_ffw_norm',
};

const ggufNames: Names = {
  embedding: 'token_embd.weight',
  finalNorm: 'output_norm.weight',
  head: 'output.weight',
  layer: (index) => (part) => `blk.${index}.${ggufParts[part]}`,
};

/**
 * Finds every weight of a model and checks its shape against the config.
 * @throws KvsiftError `file_malformed` for a missing tensor or one of another shape
 */
export function findWeights(
  tensors: ReadonlyMap<string, StoredTensor>,
  config: ModelConfig,
  format: 'gguf' | 'safetensors',
  source: string,
): ModelWeights {
  const directory = new Directory(tensors, source);
  const names = format === 'gguf' ? ggufNames : huggingFaceNames(config.postNorms);
  const { hidden, vocabulary } = config;
  const embedding = directory.get(names.embedding, [vocabulary, hidden]);
  return {
    embedding,
    layers: config.layers.map((_, index) => findLayer(directory, config, names.layer(index), format)),
    finalNorm: directory.get(names.finalNorm, [hidden]),
    head: directory.find(names.head, [vocabulary, hidden]) ?? embedding,
  };
}

function findLayer(
  directory: Directory,
  config: ModelConfig,
  name: (part: Part) => string,
  format: 'gguf' | 'safetensors',
): LayerWeights {
  const { hidden, intermediate, queryHeads, kvHeads, headDim } = config;
  const queryRows = queryHeads * headDim;
  const kvRows = kvHeads * headDim;
  const stackedQkv = directory.find(`${name('qkv')}.weight`, [queryRows + 2 * kvRows, hidden]);
  // Llama GGUFs interleave the two halves of each head's rotary pairs (see `rotaryRows`).
  const paired = format === 'gguf' && config.architecture === 'llama';
  const order = (tensor: StoredTensor, heads: number): StoredTensor =>
    paired ? { ...tensor, rowOrder: rotaryRows(heads, headDim) } : tensor;
  const qkv = stackedQkv
    ? [stackedQkv]
    : [
        order(directory.get(`${name('q')}.weight`, [queryRows, hidden]), queryHeads),
        order(directory.get(`${name('k')}.weight`, [kvRows, hidden]), kvHeads),
        directory.get(`${name('v')}.weight`, [kvRows, hidden]),
      ];
  const biases = directory.findAll([
    [`${name('q')}.bias`, queryRows],
    [`${name('k')}.bias`, kvRows],
    [`${name('v')}.bias`, kvRows],
  ]);
  const qkvBias = biases?.map((bias, index) => (index < 2 ? order(bias, index === 0 ? queryHeads : kvHeads) : bias));
  const stackedGateUp = directory.find(`${name('gateUp')}.weight`, [
    directory.tensors.has(`${name('gate')}.weight`) ? intermediate : 2 * intermediate,
    hidden,
  ]);
  const gateUp =
    stackedGateUp !== undefined && !directory.tensors.has(`${name('gate')}.weight`)
      ? [stackedGateUp]
      : [
          directory.get(`${name('gate')}.weight`, [intermediate, hidden]),
          directory.get(`${name('up')}.weight`, [intermediate, hidden]),
        ];
  const gateUpBias = directory.findAll([
    [`${name('gate')}.bias`, intermediate],
    [`${name('up')}.bias`, intermediate],
  ]);
  const outputBias = directory.find(`${name('output')}.bias`, [hidden]);
  const downBias = directory.find(`${name('down')}.bias`, [hidden]);
  return {
    attentionNorm: directory.get(`${name('attentionNorm')}.weight`, [hidden]),
    qkv,
    ...(qkvBias && { qkvBias }),
    ...(config.headNorms && {
      queryNorm: directory.get(`${name('queryNorm')}.weight`, [headDim]),
      keyNorm: directory.get(`${name('keyNorm')}.weight`, [headDim]),
    }),
    output: directory.get(`${name('output')}.weight`, [hidden, queryRows]),
    ...(outputBias && { outputBias }),
    ...(config.postNorms && {
      postAttentionNorm: directory.get(`${name('postAttentionNorm')}.weight`, [hidden]),
      postFeedForwardNorm: directory.get(`${name('postFeedForwardNorm')}.weight`, [hidden]),
    }),
    feedForwardNorm: directory.get(`${name('feedForwardNorm')}.weight`, [hidden]),
    gateUp,
    ...(gateUpBias && { gateUpBias }),
    down: directory.get(`${name('down')}.weight`, [hidden, intermediate]),
    ...(downBias && { downBias }),
  };
}

/** Row order that turns neighbouring rotary pairs (2i, 2i + 1) into halves (i, i + headDim / 2), head by head. */
export function rotaryRows(heads: number, headDim: number): Int32Array {
  const half = headDim / 2;
  return Int32Array.from({ length: heads * headDim }, (_, row) => {
    const head = Math.floor(row / headDim);
    const channel = row % headDim;
    return head * headDim + (channel < half ? 2 * channel : 2 * (channel - half) + 1);
  });
}
