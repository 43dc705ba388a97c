import { KvsiftError } from '@kvsift/tensor';
import type { MetadataValue, WeightContents } from '@kvsift/weights';
import { z } from 'zod';

/** llama.cpp's token types. */
export const tokenTypes = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

const schema = z.object({
  'tokenizer.ggml.model': z.enum(['gpt2', 'llama']),
  'tokenizer.ggml.pre': z.string().default('default'),
  'tokenizer.ggml.tokens': z.array(z.string()).min(1),
  'tokenizer.ggml.token_type': z.array(z.number().int()).optional(),
  'tokenizer.ggml.scores': z.array(z.number()).optional(),
  'tokenizer.ggml.merges': z.array(z.string()).optional(),
  'tokenizer.ggml.bos_token_id': z.number().optional(),
  'tokenizer.ggml.eos_token_id': z.number().optional(),
  'tokenizer.ggml.eot_token_id': z.number().optional(),
  'tokenizer.ggml.eom_token_id': z.number().optional(),
  'tokenizer.ggml.unknown_token_id': z.number().optional(),
  'tokenizer.ggml.add_bos_token': z.boolean().optional(),
  'tokenizer.ggml.add_eos_token': z.boolean().optional(),
  'tokenizer.ggml.add_space_prefix': z.boolean().default(true),
  'tokenizer.chat_template': z.string().optional(),
});

/** The vocabulary of a GGUF, its lists of equal length and its ids in range. */
export interface GgufVocabulary {
  readonly path: string;
  readonly model: 'gpt2' | 'llama';
  readonly pre: string;
  readonly tokens: readonly string[];
  readonly types: readonly number[];
  readonly scores: readonly number[];
  readonly merges: readonly string[];
  readonly bosId: number | undefined;
  readonly eosId: number | undefined;
  /** Further ids that end a turn. */
  readonly endIds: readonly number[];
  readonly unknownId: number | undefined;
  readonly addBos: boolean | undefined;
  readonly addEos: boolean;
  readonly addSpacePrefix: boolean;
  readonly chatTemplate: string | undefined;
}

/** Reads `tokenizer.*` of GGUF metadata. @throws KvsiftError `tokenizer_invalid` that names the key and what was expected */
export function readVocabulary(file: Pick<WeightContents, 'files' | 'metadata'>): GgufVocabulary {
  const path = file.files[0]?.path ?? 'GGUF metadata';
  const fail = (reason: string) => new KvsiftError('tokenizer_invalid', `${path}: ${reason}`, { path });
  const entries = [...file.metadata].filter(([key]) => key.startsWith('tokenizer.'));
  const parsed = schema.safeParse(Object.fromEntries<MetadataValue>(entries));
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw fail(`${issue?.path.join('.') ?? 'tokenizer'}: ${issue?.message ?? 'not as expected'}`);
  }
  const data = parsed.data;
  const tokens = data['tokenizer.ggml.tokens'];
  const perToken = (key: 'tokenizer.ggml.token_type' | 'tokenizer.ggml.scores', otherwise: number) => {
    const values = data[key] ?? tokens.map(() => otherwise);
    if (values.length !== tokens.length)
      throw fail(`${key}: expected ${tokens.length} values, one per token, found ${values.length}`);
    return values;
  };
  const idAt = (name: 'bos' | 'eos' | 'eot' | 'eom' | 'unknown') => {
    const id = data[`tokenizer.ggml.${name}_token_id`];
    if (id !== undefined && tokens[id] === undefined) {
      throw fail(`tokenizer.ggml.${name}_token_id: expected an id below ${tokens.length}, found ${id}`);
    }
    return id;
  };
  return {
    path,
    model: data['tokenizer.ggml.model'],
    pre: data['tokenizer.ggml.pre'],
    tokens,
    types: perToken('tokenizer.ggml.token_type', tokenTypes.normal),
    scores: perToken('tokenizer.ggml.scores', 0),
    merges: data['tokenizer.ggml.merges'] ?? [],
    bosId: idAt('bos'),
    eosId: idAt('eos'),
    endIds: [idAt('eot'), idAt('eom')].filter((id) => id !== undefined),
    unknownId: idAt('unknown'),
    addBos: data['tokenizer.ggml.add_bos_token'],
    addEos: data['tokenizer.ggml.add_eos_token'] ?? false,
    addSpacePrefix: data['tokenizer.ggml.add_space_prefix'],
    chatTemplate: data['tokenizer.chat_template'],
  };
}
