import { describe, expect, it } from 'vitest';
import { configFromHuggingFace } from './huggingface.js';

const base = {
  model_type: 'llama',
  hidden_size: 64,
  intermediate_size: 128,
  num_hidden_layers: 4,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  vocab_size: 100,
  max_position_embeddings: 512,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
};

describe('configFromHuggingFace', () => {
  it('reads a Llama', () => {
    const config = configFromHuggingFace(base, 'config.json');
    expect(config).toMatchObject({ architecture: 'llama', headDim: 16, kvHeads: 2, contextLength: 512, attentionScale: 0.25 });
    expect(config.layers.every(({ window }) => window === undefined)).toBe(true);
  });

  it('gives windows by family', () => {
    const windows = (fields: object) =>
      configFromHuggingFace({ ...base, sliding_window: 32, ...fields }, 'x').layers.map(({ window }) => window);
    expect(windows({ model_type: 'mistral' })).toEqual([32, 32, 32, 32]);
    expect(windows({ model_type: 'gemma2' })).toEqual([32, undefined, 32, undefined]);
    expect(windows({ model_type: 'gemma3_text', sliding_window_pattern: 2 })).toEqual([32, undefined, 32, undefined]);
    expect(windows({ model_type: 'qwen2', use_sliding_window: false })).toEqual([undefined, undefined, undefined, undefined]);
    expect(windows({ model_type: 'qwen2', use_sliding_window: true, max_window_layers: 3 })).toEqual([
      undefined,
      undefined,
      undefined,
      32,
    ]);
    const layer_types = ['full_attention', 'sliding_attention', 'full_attention', 'full_attention'];
    expect(windows({ model_type: 'qwen3', layer_types })).toEqual([undefined, 32, undefined, undefined]);
  });

  it('takes nested rope parameters per kind of layer', () => {
    const config = configFromHuggingFace(
      {
        ...base,
        model_type: 'gemma3_text',
        sliding_window: 32,
        sliding_window_pattern: 2,
        rope_theta: undefined,
        rope_parameters: {
          full_attention: { rope_type: 'linear', factor: 8, rope_theta: 1e6 },
          sliding_attention: { rope_type: 'default', rope_theta: 1e4 },
        },
      },
      'x',
    );
    expect(config.layers[0]?.rope).toEqual({ theta: 1e4, dimensions: 16, scaling: { type: 'default' } });
    expect(config.layers[1]?.rope).toEqual({ theta: 1e6, dimensions: 16, scaling: { type: 'linear', factor: 8 } });
  });

  it.each([
    [{ num_key_value_heads: 3 }, 'config_invalid', '4 query heads cannot be shared by 3 KV heads'],
    [{ hidden_size: undefined }, 'config_invalid', 'hidden_size'],
    [{ model_type: 'mamba' }, 'model_unsupported', 'mamba'],
    [{ rope_scaling: { rope_type: 'spiral' } }, 'config_invalid', 'spiral'],
    [{ rope_scaling: { rope_type: 'linear' } }, 'config_invalid', 'factor'],
    [{ hidden_act: 'tanh' }, 'config_invalid', 'tanh'],
    [{ head_dim: 15 }, 'config_invalid', '15'],
  ])('refuses %j', (fields, code, text) => {
    expect(() => configFromHuggingFace({ ...base, ...fields }, 'config.json')).toThrowError(
      expect.objectContaining({ code, message: expect.stringContaining(text) }),
    );
  });
});
