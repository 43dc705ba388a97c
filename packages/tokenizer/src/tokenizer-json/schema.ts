import { KvsiftError } from '@kvsift/tensor';
import { z } from 'zod';

/** Above any vocabulary; keeps tables by id small. */
const maxId = 2 ** 24;
const id = z.number().int().nonnegative().max(maxId);

const component = z.looseObject({ type: z.string() });
export type Component = z.infer<typeof component>;

const schema = z.looseObject({
  version: z.literal('1.0').optional(),
  added_tokens: z
    .array(
      z.looseObject({
        id,
        content: z.string().min(1),
        special: z.boolean().optional(),
        lstrip: z.boolean().optional(),
        rstrip: z.boolean().optional(),
        single_word: z.boolean().optional(),
        normalized: z.boolean().optional(),
      }),
    )
    .default([]),
  normalizer: component.nullish(),
  pre_tokenizer: component.nullish(),
  post_processor: component.nullish(),
  decoder: component,
  model: component,
});

/** A tokenizer.json that passed: its vocabulary is consistent, its parts are ones that kvsift runs. */
export type TokenizerJson = z.infer<typeof schema>;

/** Checks a parsed tokenizer.json. @throws KvsiftError `tokenizer_invalid` that names the field and what was expected */
export function checkTokenizerJson(value: unknown, path: string): { json: TokenizerJson; tokens: (string | undefined)[] } {
  const parsed = schema.safeParse(value);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw invalid(path, `${issue?.path.join('.') || 'the file'}: ${issue?.message ?? 'not a tokenizer'}`);
  }
  const json = parsed.data;
  const tokens = modelTokens(json.model, path);
  const ids = new Map<string | undefined, number>();
  tokens.forEach((token, id) => {
    ids.set(token, id);
  });
  for (const { id, content } of json.added_tokens) {
    const known = ids.get(content) ?? id;
    if (known !== id || (tokens[id] ?? content) !== content) {
      const instead = known === id ? `which is "${tokens[id]}"` : `the vocabulary has it as ${known}`;
      throw invalid(path, `added_tokens: "${content}" has id ${id}, ${instead}`);
    }
    tokens[id] = content;
    ids.set(content, id);
  }
  const { unk_token: unknown } = json.model;
  if (typeof unknown === 'string' && !ids.has(unknown))
    throw invalid(path, `model.unk_token: expected a token of the vocabulary, found "${unknown}"`);
  return { json, tokens };
}

/** The one form of error of this file. */
export function invalid(path: string, reason: string, cause?: unknown): KvsiftError {
  return new KvsiftError('tokenizer_invalid', `${path}: ${reason}`, { path }, { cause });
}

function modelTokens(model: Component, path: string): (string | undefined)[] {
  if (model.type === 'BPE') return bpeTokens(model, path);
  if (model.type === 'Unigram') return unigramTokens(model, path);
  throw invalid(path, `model.type: expected BPE or Unigram, found ${model.type.slice(0, 40)}`);
}

function bpeTokens(model: Component, path: string): (string | undefined)[] {
  const { vocab, merges } = model;
  if (!isRecord(vocab)) throw invalid(path, 'model.vocab: expected an object of tokens and ids');
  for (const name of ['continuing_subword_prefix', 'end_of_word_suffix', 'dropout'] as const) {
    if (model[name])
      throw invalid(path, `model.${name}: expected null, which language models have, found ${String(model[name])}`);
  }
  const ids = new Map<string, unknown>(Object.entries(vocab));
  const tokens: (string | undefined)[] = [];
  for (const [token, value] of ids) {
    if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > maxId) {
      throw invalid(path, `model.vocab: expected an id of 0 to ${maxId} for token "${token}", found ${String(value)}`);
    }
    if (tokens[value] !== undefined)
      throw invalid(path, `model.vocab: tokens "${tokens[value]}" and "${token}" have the same id ${value}`);
    tokens[value] = token;
  }
  if (!Array.isArray(merges)) throw invalid(path, 'model.merges: expected a list');
  const width = typeof merges[0] === 'string' ? 'string' : 'pair';
  merges.forEach((merge: unknown, i) => {
    const pair: unknown = typeof merge === 'string' && width === 'string' ? merge.split(' ') : merge;
    const [left, right]: unknown[] = Array.isArray(pair) && pair.length === 2 ? pair : [];
    if (typeof left !== 'string' || typeof right !== 'string') {
      throw invalid(path, `model.merges: expected two tokens in merge ${i}, all as pairs or all as text`);
    }
    if (ids.has(left) && ids.has(right) && ids.has(left + right)) return;
    const unknown = [left, right, left + right].find((token) => !ids.has(token));
    throw invalid(path, `model.merges: expected tokens of the vocabulary in merge ${i}, found "${unknown}"`);
  });
  return tokens;
}

function unigramTokens(model: Component, path: string): string[] {
  const pieces = z
    .array(z.tuple([z.string(), z.number()]))
    .min(1)
    .max(maxId)
    .safeParse(model.vocab);
  if (!pieces.success) throw invalid(path, 'model.vocab: expected a list of [token, score]');
  const unknown = model.unk_id ?? null;
  if (unknown !== null && !(typeof unknown === 'number' && pieces.data[unknown])) {
    throw invalid(path, `model.unk_id: expected the id of a token, found ${String(unknown)}`);
  }
  return pieces.data.map(([token]) => token);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
