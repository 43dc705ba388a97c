import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { refusal, temporaryFolders, write } from '../files/temporary-folder.test.fixture.js';
import { readModelConfig } from './read.js';

const folder = temporaryFolders();
const tiny = '../shared/models/tiny';

const valid = {
  model_type: 'llama',
  hidden_size: 64,
  intermediate_size: 128,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  vocab_size: 256,
  rms_norm_eps: 1e-5,
  something_new: { kept: true },
};

async function read(config: unknown, generation?: unknown) {
  const at = folder();
  write(join(at, 'config.json'), typeof config === 'string' ? config : JSON.stringify(config));
  if (generation !== undefined) write(join(at, 'generation_config.json'), JSON.stringify(generation));
  return readModelConfig(at);
}

describe('readModelConfig', () => {
  it.skipIf(!existsSync(tiny)).each(existsSync(tiny) ? readdirSync(tiny) : [])('reads %s of ../shared', async (name) => {
    const { config, generation } = await readModelConfig(join(tiny, name));
    expect(config.hidden_size).toBeGreaterThan(0);
    expect(generation?.do_sample).toBe(false);
  });

  it('passes unknown keys through', async () => {
    const { config, generation } = await read(valid, { eos_token_id: [1, 2], future: 1 });
    expect(config.something_new).toEqual({ kept: true });
    expect(generation).toEqual({ eos_token_id: [1, 2], future: 1 });
    expect((await read(valid)).generation).toBeUndefined();
  });

  it('takes RoPE settings per kind of layer', async () => {
    const rope_parameters = {
      full_attention: { rope_type: 'linear', factor: 8, rope_theta: 1e6 },
      sliding_attention: { rope_type: 'default', rope_theta: 1e4 },
    };
    expect((await read({ ...valid, rope_parameters })).config.rope_parameters).toEqual(rope_parameters);
  });

  const wrong: Record<string, [object, RegExp]> = {
    'a size of 0': [{ num_hidden_layers: 0 }, /num_hidden_layers/],
    'a size as text': [{ hidden_size: '64' }, /hidden_size/],
    'a fraction of a size': [{ vocab_size: 1.5 }, /vocab_size/],
    'an absurd size': [{ intermediate_size: 2 ** 40 }, /intermediate_size/],
    'more KV heads than query heads': [{ num_key_value_heads: 8 }, /num_key_value_heads: expected a divisor of the 4/],
    'a hidden size that heads do not divide': [{ hidden_size: 66 }, /hidden_size: expected a multiple of the 4/],
    'an odd head': [{ head_dim: 15 }, /head_dim: expected an even number/],
    'epsilon 0': [{ rms_norm_eps: 0 }, /rms_norm_eps/],
    'a negative rope base': [{ rope_theta: -1 }, /rope_theta/],
    'an unknown rope type in the old key': [{ rope_scaling: { type: 'spiral', factor: 2 } }, /rope_scaling.type/],
    'an unknown rope type of one kind of layer': [
      { rope_parameters: { full_attention: { rope_type: 'spiral' } } },
      /full_attention.rope_type/,
    ],
    'scaling without a factor': [{ rope_scaling: { rope_type: 'yarn' } }, /rope_scaling.factor/],
    'llama3 scaling without frequencies': [{ rope_scaling: { rope_type: 'llama3', factor: 8 } }, /low_freq_factor/],
    'longrope without factors': [{ rope_scaling: { type: 'longrope' } }, /short_factor/],
    'an EOS outside the vocabulary': [
      { eos_token_id: [2, 256] },
      /eos_token_id: expected ids below the vocab_size 256, found 256/,
    ],
    'layer types for other layers': [{ layer_types: ['full_attention'] }, /layer_types: expected 2/],
  };
  it.each(Object.entries(wrong))('refuses %s', async (_, [change, message]) => {
    const error = await refusal(read({ ...valid, ...change }));
    expect(error.code).toBe('config_invalid');
    expect(error.message).toMatch(message);
    expect(error.message).toContain('config.json');
  });

  it.each(['', '{', '[]', 'null', '{"a":1,"a":2}', '// c\n{}', '{"hidden_size": Infinity}', '\ufeff\ufeff{}'])(
    'refuses the text %j',
    async (text) => {
      expect((await refusal(read(text))).code).toBe('config_invalid');
    },
  );

  it('refuses a generation config of another kind', async () => {
    expect((await refusal(read(valid, { top_p: 2 }))).message).toMatch(/generation_config.json: top_p/);
  });

  it('asks for the folder where it is given a file of it', async () => {
    const at = write(join(folder(), 'model.safetensors'), '');
    expect((await refusal(readModelConfig(at))).message).toBe(`${at} is a file: give the folder that holds it and config.json`);
  });

  it('names a file that is missing', async () => {
    expect((await refusal(readModelConfig(folder()))).code).toBe('file_not_found');
  });
});
