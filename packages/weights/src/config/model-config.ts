import { z } from 'zod';

/** Bounds that no published model comes near; they keep products of sizes exact and memory sane. */
const size = z
  .number()
  .int()
  .positive()
  .max(2 ** 24);
const positive = z.number().positive();
const tokenId = z
  .number()
  .int()
  .nonnegative()
  .max(2 ** 31 - 1);
const tokenIds = z.union([tokenId, z.array(tokenId)]).nullable();

/** RoPE kinds of transformers ("su" is the old name of "longrope"). */
export const ropeTypes = ['default', 'linear', 'dynamic', 'yarn', 'longrope', 'su', 'llama3'] as const;
const ropeType = z.enum(ropeTypes);

const ropeSchema = z
  .looseObject({
    rope_type: ropeType.optional(),
    type: ropeType.optional(),
    rope_theta: positive.optional(),
    factor: positive.nullish(),
    original_max_position_embeddings: size.optional(),
    attention_factor: positive.nullish(),
    beta_fast: positive.nullish(),
    beta_slow: positive.nullish(),
    low_freq_factor: positive.optional(),
    high_freq_factor: positive.optional(),
    short_factor: z.array(positive).optional(),
    long_factor: z.array(positive).optional(),
    partial_rotary_factor: positive.max(1).optional(),
  })
  .check((context) => {
    const { rope_type: newer, type: older, factor } = context.value;
    const kind = newer ?? older ?? 'default';
    if (['linear', 'dynamic', 'yarn', 'llama3'].includes(kind) && typeof factor !== 'number') {
      context.issues.push({
        code: 'custom',
        path: ['factor'],
        message: `expected a number for rope type ${kind}`,
        input: factor,
      });
    }
    const { low_freq_factor: low, high_freq_factor: high } = context.value;
    if (kind === 'llama3' && (low === undefined || high === undefined || low === high)) {
      const message = 'expected low_freq_factor and high_freq_factor that differ for rope type llama3';
      context.issues.push({ code: 'custom', path: ['low_freq_factor'], message, input: low });
    }
    if ((kind === 'longrope' || kind === 'su') && !(context.value.short_factor && context.value.long_factor)) {
      const message = 'expected short_factor and long_factor for rope type longrope';
      context.issues.push({ code: 'custom', path: ['short_factor'], message, input: undefined });
    }
  });

/**
 * `config.json` of a Hugging Face decoder model: the numbers every architecture shares, checked for sense. Other keys pass through untouched; the
 * architecture itself is for whoever builds the model.
 */
export const hfConfigSchema = z
  .looseObject({
    model_type: z.string().min(1),
    architectures: z.array(z.string()).nullish(),
    hidden_size: size,
    num_hidden_layers: size.max(4096),
    num_attention_heads: size,
    num_key_value_heads: size.nullish(),
    head_dim: size.nullish(),
    intermediate_size: size,
    vocab_size: size,
    max_position_embeddings: size.optional(),
    rms_norm_eps: positive.max(1).optional(),
    rope_theta: positive.optional(),
    rope_scaling: ropeSchema.nullish(),
    /** One set, or one per kind of layer as Gemma 3 writes it. */
    rope_parameters: ropeSchema
      .extend({ full_attention: ropeSchema.optional(), sliding_attention: ropeSchema.optional() })
      .nullish(),
    partial_rotary_factor: positive.max(1).optional(),
    sliding_window: size.nullish(),
    layer_types: z.array(z.string()).nullish(),
    hidden_act: z.string().nullish(),
    tie_word_embeddings: z.boolean().optional(),
    attention_bias: z.boolean().optional(),
    mlp_bias: z.boolean().optional(),
    bos_token_id: tokenIds.optional(),
    eos_token_id: tokenIds.optional(),
    pad_token_id: z.number().int().nullish(),
    torch_dtype: z.string().nullish(),
  })
  .check((context) => {
    const { hidden_size: hidden, num_attention_heads: heads, num_key_value_heads: shared, layer_types: kinds } = context.value;
    const issue = (field: string, message: string, input: unknown) =>
      context.issues.push({ code: 'custom', path: [field], message, input });
    const kvHeads = shared ?? heads;
    if (heads % kvHeads !== 0) {
      issue('num_key_value_heads', `expected a divisor of the ${heads} query heads, found ${kvHeads}`, kvHeads);
    }
    if (!context.value.head_dim && hidden % heads !== 0) {
      issue('hidden_size', `expected a multiple of the ${heads} query heads where head_dim is absent, found ${hidden}`, hidden);
    }
    if ((context.value.head_dim ?? hidden / heads) % 2 !== 0) {
      issue('head_dim', 'expected an even number: RoPE turns pairs', context.value.head_dim);
    }
    for (const field of ['bos_token_id', 'eos_token_id'] as const) {
      const outside = [context.value[field] ?? []].flat().find((id) => id >= context.value.vocab_size);
      if (outside !== undefined)
        issue(field, `expected ids below the vocab_size ${context.value.vocab_size}, found ${outside}`, outside);
    }
    if (kinds && kinds.length !== context.value.num_hidden_layers) {
      issue('layer_types', `expected ${context.value.num_hidden_layers} entries, found ${kinds.length}`, kinds.length);
    }
  });

/** config.json, checked. */
export type HfConfig = z.infer<typeof hfConfigSchema>;

/** `generation_config.json`: what kvsift reads of it; other keys pass through. */
export const generationConfigSchema = z.looseObject({
  bos_token_id: tokenIds.optional(),
  eos_token_id: tokenIds.optional(),
  pad_token_id: z.number().int().nullish(),
  do_sample: z.boolean().nullish(),
  temperature: z.number().nonnegative().nullish(),
  top_k: z.number().int().nonnegative().nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  min_p: z.number().min(0).max(1).nullish(),
});

/** generation_config.json, checked. */
export type GenerationConfig = z.infer<typeof generationConfigSchema>;
