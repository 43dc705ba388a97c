import { KvsiftError } from '@kvsift/tensor';
import { z } from 'zod';
import {
  type Architecture,
  architectures,
  type LayerConfig,
  type ModelConfig,
  type RopeConfig,
  type RopeScaling,
} from './config.js';
import { windowed } from './windows.js';

const positive = z.number().positive();
const count = z.number().int().positive();

const ropeSchema = z
  .object({
    rope_type: z.string().optional(),
    type: z.string().optional(),
    rope_theta: positive.optional(),
    factor: positive.optional(),
    attention_factor: positive.nullish(),
    beta_fast: positive.nullish(),
    beta_slow: positive.nullish(),
    mscale: positive.nullish(),
    mscale_all_dim: positive.nullish(),
    truncate: z.boolean().optional(),
    low_freq_factor: positive.optional(),
    high_freq_factor: positive.optional(),
    original_max_position_embeddings: count.optional(),
    short_factor: z.array(positive).optional(),
    long_factor: z.array(positive).optional(),
  })
  .loose();
type RopeFields = z.infer<typeof ropeSchema>;

const configSchema = z
  .object({
    model_type: z.string(),
    hidden_size: count,
    intermediate_size: count,
    num_hidden_layers: count,
    num_attention_heads: count,
    num_key_value_heads: count.nullish(),
    head_dim: count.nullish(),
    vocab_size: count,
    max_position_embeddings: count,
    rms_norm_eps: positive,
    hidden_act: z.string().optional(),
    hidden_activation: z.string().nullish(),
    rope_theta: positive.optional(),
    rope_local_base_freq: positive.optional(),
    rope_scaling: ropeSchema.nullish(),
    rope_parameters: z
      .union([z.object({ full_attention: ropeSchema, sliding_attention: ropeSchema }).loose(), ropeSchema])
      .nullish(),
    original_max_position_embeddings: count.optional(),
    partial_rotary_factor: positive.max(1).nullish(),
    sliding_window: count.nullish(),
    use_sliding_window: z.boolean().nullish(),
    max_window_layers: z.number().int().min(0).nullish(),
    sliding_window_pattern: count.nullish(),
    layer_types: z.array(z.string()).nullish(),
    query_pre_attn_scalar: positive.nullish(),
    attn_logit_softcapping: positive.nullish(),
    final_logit_softcapping: positive.nullish(),
  })
  .loose();
type Fields = z.infer<typeof configSchema>;

/** Model types of `config.json` and the family that runs them. */
const families: Readonly<Record<string, Architecture>> = {
  ...Object.fromEntries(architectures.map((name) => [name, name])),
  gemma3_text: 'gemma3',
};

/**
 * Reads a Hugging Face `config.json`.
 * @param source where it came from, for messages
 * @throws KvsiftError `config_invalid` naming the field; `model_unsupported` for a family that is not known
 */
export function configFromHuggingFace(json: unknown, source: string): ModelConfig {
  const parsed = configSchema.safeParse(json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const field = issue?.path.join('.') ?? '';
    throw new KvsiftError(
      'config_invalid',
      `${source}: ${field || 'the whole file'}: ${issue?.message ?? 'not a model config'}`,
      { source, field },
    );
  }
  const fields = parsed.data;
  const architecture = families[fields.model_type];
  if (architecture === undefined) {
    throw new KvsiftError(
      'model_unsupported',
      `${source}: model_type "${fields.model_type}" is not supported; supported: ${Object.keys(families).join(', ')}`,
      { source, modelType: fields.model_type },
    );
  }
  const queryHeads = fields.num_attention_heads;
  const kvHeads = fields.num_key_value_heads ?? queryHeads;
  if (queryHeads % kvHeads !== 0) {
    throw new KvsiftError('config_invalid', `${source}: ${queryHeads} query heads cannot be shared by ${kvHeads} KV heads`, {
      source,
    });
  }
  const headDim = fields.head_dim ?? fields.hidden_size / queryHeads;
  if (!Number.isInteger(headDim) || headDim % 2 !== 0) {
    throw new KvsiftError('config_invalid', `${source}: head_dim must be an even integer, not ${headDim}`, { source });
  }
  const gemma = architecture === 'gemma2' || architecture === 'gemma3';
  const activation = fields.hidden_activation ?? fields.hidden_act ?? 'silu';
  const attentionSoftcap = architecture === 'gemma2' ? fields.attn_logit_softcapping : undefined;
  const finalSoftcap = gemma ? fields.final_logit_softcapping : undefined;
  return {
    architecture,
    hidden: fields.hidden_size,
    intermediate: fields.intermediate_size,
    queryHeads,
    kvHeads,
    headDim,
    vocabulary: fields.vocab_size,
    contextLength: fields.max_position_embeddings,
    layers: layerConfigs(fields, architecture, headDim, source),
    normEpsilon: fields.rms_norm_eps,
    normWeightOffset: gemma ? 1 : 0,
    embeddingScale: gemma ? Math.sqrt(fields.hidden_size) : 1,
    activation: parseActivation(activation, source),
    attentionScale: 1 / Math.sqrt(gemma ? (fields.query_pre_attn_scalar ?? headDim) : headDim),
    ...(attentionSoftcap != null && { attentionSoftcap }),
    ...(finalSoftcap != null && { finalSoftcap }),
    headNorms: architecture === 'qwen3' || architecture === 'gemma3',
    postNorms: gemma,
  };
}

function parseActivation(name: string, source: string): ModelConfig['activation'] {
  if (name === 'silu' || name === 'swish') return 'silu';
  if (name === 'gelu_pytorch_tanh' || name === 'gelu_new') return 'gelu_tanh';
  if (name === 'gelu') return 'gelu';
  throw new KvsiftError(
    'config_invalid',
    `${source}: activation "${name}" is not supported; supported: silu, gelu, gelu_pytorch_tanh`,
    { source },
  );
}

function layerConfigs(fields: Fields, architecture: Architecture, headDim: number, source: string): LayerConfig[] {
  const dimensions = Math.floor((headDim * (fields.partial_rotary_factor ?? 1)) / 2) * 2;
  const nested = fields.rope_parameters as { full_attention?: RopeFields; sliding_attention?: RopeFields } | null | undefined;
  const own = (fields.rope_scaling ?? fields.rope_parameters ?? {}) as RopeFields;
  const theta = fields.rope_theta ?? own.rope_theta ?? 10000;
  const rope = (raw: RopeFields, base: number): RopeConfig => ({
    theta: raw.rope_theta ?? base,
    dimensions,
    scaling: ropeScaling(raw, fields, dimensions / 2, source),
  });
  const full = rope(nested?.full_attention ?? own, theta);
  const local = architecture === 'gemma3' ? rope(nested?.sliding_attention ?? {}, fields.rope_local_base_freq ?? 10000) : full;
  return windowed({
    architecture,
    layers: fields.num_hidden_layers,
    window: fields.sliding_window ?? undefined,
    enabled: fields.use_sliding_window ?? undefined,
    firstWindowed: fields.max_window_layers ?? undefined,
    pattern: fields.sliding_window_pattern ?? undefined,
    layerTypes: fields.layer_types ?? undefined,
  }).map((window) => (window === undefined ? { rope: full } : { rope: local, window }));
}

function ropeScaling(raw: RopeFields, fields: Fields, pairs: number, source: string): RopeScaling {
  const type = raw.rope_type ?? raw.type ?? 'default';
  const need = <T>(value: T | null | undefined, name: string): T => {
    if (value != null) return value;
    throw new KvsiftError('config_invalid', `${source}: rope type "${type}" needs ${name}`, {
      source,
      field: `rope_scaling.${name}`,
    });
  };
  const original = raw.original_max_position_embeddings ?? fields.original_max_position_embeddings;
  switch (type) {
    case 'default':
      return { type };
    case 'linear':
      return { type, factor: need(raw.factor, 'factor') };
    case 'dynamic':
      return { type, factor: need(raw.factor, 'factor'), originalLength: original ?? fields.max_position_embeddings };
    case 'llama3':
      return {
        type,
        factor: need(raw.factor, 'factor'),
        lowFrequencyFactor: need(raw.low_freq_factor, 'low_freq_factor'),
        highFrequencyFactor: need(raw.high_freq_factor, 'high_freq_factor'),
        originalLength: need(original, 'original_max_position_embeddings'),
      };
    case 'yarn': {
      const factor = need(raw.factor, 'factor');
      const mscale = (weight: number) => (factor <= 1 ? 1 : 0.1 * weight * Math.log(factor) + 1);
      const given =
        raw.attention_factor ?? (raw.mscale && raw.mscale_all_dim ? mscale(raw.mscale) / mscale(raw.mscale_all_dim) : undefined);
      return {
        type,
        factor,
        originalLength: original ?? fields.max_position_embeddings,
        ...(given !== undefined && { attentionFactor: given }),
        betaFast: raw.beta_fast ?? 32,
        betaSlow: raw.beta_slow ?? 1,
        truncate: raw.truncate ?? true,
      };
    }
    case 'longrope':
    case 'su': {
      const originalLength = need(original, 'original_max_position_embeddings');
      const stretch = original === undefined ? need(raw.factor, 'factor') : fields.max_position_embeddings / originalLength;
      const shortFactors = need(raw.short_factor, 'short_factor');
      const longFactors = need(raw.long_factor, 'long_factor');
      if (shortFactors.length !== pairs || longFactors.length !== pairs) {
        throw new KvsiftError(
          'config_invalid',
          `${source}: short_factor and long_factor need ${pairs} numbers, one per rotated pair`,
          { source },
        );
      }
      return {
        type: 'longrope',
        shortFactors,
        longFactors,
        originalLength,
        attentionFactor: raw.attention_factor ?? (stretch <= 1 ? 1 : Math.sqrt(1 + Math.log(stretch) / Math.log(originalLength))),
      };
    }
    default:
      throw new KvsiftError(
        'config_invalid',
        `${source}: rope type "${type}" is not known; known: default, linear, dynamic, yarn, llama3, longrope`,
        {
          source,
          field: 'rope_scaling.rope_type',
        },
      );
  }
}
