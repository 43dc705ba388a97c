import { KvsiftError } from '@kvsift/tensor';
import { z } from 'zod';
import { type Architecture, architectures, type ModelConfig, type RopeConfig, type RopeScaling } from './config.js';
import { windowed } from './windows.js';

/** What the reader of a GGUF model needs from the file. */
export interface GgufSource {
  /** Path, for messages. */
  readonly path: string;
  /** Value of a metadata key, or undefined. */
  value(key: string): unknown;
  /** Values of a small f32 tensor, or undefined where the file has none of that name. */
  floats(name: string): Promise<Float32Array | undefined>;
  /** Rows of a tensor, or undefined. */
  rows(name: string): number | undefined;
}

const count = z.number().int().positive();
const positive = z.number().positive();

/**
 * Reads a model config from GGUF metadata.
 * @throws KvsiftError `config_invalid` naming the key; `model_unsupported` for an architecture that is not known
 */
export async function configFromGguf(source: GgufSource): Promise<ModelConfig> {
  const name = read(source, 'general.architecture', z.string());
  const architecture = architectures.find((known) => known === name);
  if (architecture === undefined) {
    throw new KvsiftError(
      'model_unsupported',
      `${source.path}: architecture "${name}" is not supported; supported: ${architectures.join(', ')}`,
      { path: source.path, architecture: name },
    );
  }
  const key = (suffix: string) => `${architecture}.${suffix}`;
  const hidden = read(source, key('embedding_length'), count);
  const queryHeads = read(source, key('attention.head_count'), count);
  const kvHeads = optional(source, key('attention.head_count_kv'), count) ?? queryHeads;
  if (queryHeads % kvHeads !== 0) {
    throw new KvsiftError('config_invalid', `${source.path}: ${queryHeads} query heads cannot be shared by ${kvHeads} KV heads`);
  }
  const headDim = optional(source, key('attention.key_length'), count) ?? hidden / queryHeads;
  if (!Number.isInteger(headDim) || headDim % 2 !== 0) {
    throw new KvsiftError('config_invalid', `${source.path}: head size must be an even integer, not ${headDim}`);
  }
  const layers = read(source, key('block_count'), count);
  const contextLength = read(source, key('context_length'), count);
  const vocabulary = source.rows('token_embd.weight');
  if (vocabulary === undefined)
    throw new KvsiftError('config_invalid', `${source.path}: the tensor token_embd.weight is missing`);
  const gemma = architecture === 'gemma2' || architecture === 'gemma3';
  const attentionSoftcap = optional(source, key('attn_logit_softcapping'), positive);
  const finalSoftcap = optional(source, key('final_logit_softcapping'), positive);
  const dimensions = optional(source, key('rope.dimension_count'), count) ?? headDim;
  const theta = optional(source, key('rope.freq_base'), positive) ?? 10000;
  const rope: RopeConfig = { theta, dimensions, scaling: await ropeScaling(source, architecture, contextLength) };
  const local: RopeConfig = architecture === 'gemma3' ? { theta: 10000, dimensions, scaling: { type: 'default' } } : rope;
  const windows = windowed({
    architecture,
    layers,
    window: optional(source, key('attention.sliding_window'), count),
    enabled: undefined,
    firstWindowed: undefined,
    pattern: undefined,
    layerTypes: undefined,
  });
  return {
    architecture,
    hidden,
    intermediate: read(source, key('feed_forward_length'), count),
    queryHeads,
    kvHeads,
    headDim,
    vocabulary,
    contextLength,
    layers: windows.map((window) => (window === undefined ? { rope } : { rope: local, window })),
    normEpsilon: read(source, key('attention.layer_norm_rms_epsilon'), positive),
    // Converters add the 1 to Gemma's norm weights.
    normWeightOffset: 0,
    embeddingScale: gemma ? Math.sqrt(hidden) : 1,
    activation: gemma ? 'gelu_tanh' : 'silu',
    attentionScale: 1 / Math.sqrt(gemmaScalar(architecture, layers, hidden, queryHeads) ?? headDim),
    ...(architecture === 'gemma2' && attentionSoftcap !== undefined && { attentionSoftcap }),
    ...(gemma && finalSoftcap !== undefined && { finalSoftcap }),
    headNorms: architecture === 'qwen3' || architecture === 'gemma3',
    postNorms: gemma,
  };
}

/** GGUF has no key for `query_pre_attn_scalar`: only the 27B Gemma models differ from the head size, with hidden / heads. */
function gemmaScalar(architecture: Architecture, layers: number, hidden: number, queryHeads: number): number | undefined {
  const large = (architecture === 'gemma2' && layers === 46) || (architecture === 'gemma3' && layers === 62);
  return large ? hidden / queryHeads : undefined;
}

async function ropeScaling(source: GgufSource, architecture: Architecture, contextLength: number): Promise<RopeScaling> {
  const key = (suffix: string) => `${architecture}.rope.scaling.${suffix}`;
  const originalLength = optional(source, key('original_context_length'), count) ?? contextLength;
  const [short, long] = await Promise.all([
    source.floats('rope_factors_short.weight'),
    source.floats('rope_factors_long.weight'),
  ]);
  if (short !== undefined && long !== undefined) {
    const stretch = contextLength / originalLength;
    return {
      type: 'longrope',
      shortFactors: Array.from(short),
      longFactors: Array.from(long),
      originalLength,
      attentionFactor:
        optional(source, key('attn_factor'), positive) ??
        (stretch <= 1 ? 1 : Math.sqrt(1 + Math.log(stretch) / Math.log(originalLength))),
    };
  }
  const factors = await source.floats('rope_freqs.weight');
  if (factors !== undefined) return { type: 'factors', factors: Array.from(factors) };
  const type = optional(source, key('type'), z.string()) ?? 'none';
  const factor = optional(source, key('factor'), positive) ?? 1;
  switch (type) {
    case 'none':
      return { type: 'default' };
    case 'linear':
      return { type, factor };
    case 'yarn':
      return { type, factor, originalLength, betaFast: 32, betaSlow: 1, truncate: true };
    default:
      throw new KvsiftError(
        'config_invalid',
        `${source.path}: rope scaling "${type}" is not known; known: none, linear, yarn, longrope`,
      );
  }
}

function read<T>(source: GgufSource, key: string, schema: z.ZodType<T>): T {
  const value = source.value(key);
  if (value === undefined) throw new KvsiftError('config_invalid', `${source.path}: the metadata key ${key} is missing`, { key });
  const parsed = schema.safeParse(value);
  if (!parsed.success) {
    throw new KvsiftError('config_invalid', `${source.path}: ${key}: ${parsed.error.issues[0]?.message ?? 'not valid'}`, {
      key,
      value,
    });
  }
  return parsed.data;
}

function optional<T>(source: GgufSource, key: string, schema: z.ZodType<T>): T | undefined {
  return source.value(key) === undefined ? undefined : read(source, key, schema);
}
