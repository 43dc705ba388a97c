import { join } from 'node:path';
import { generationConfigSchema, pathKind, readJsonFile, readSmallFile } from '@kvsift/weights';
import { z } from 'zod';
import { assembleTokenizer } from '../assemble.js';
import type { Tokenizer } from '../tokenizer.js';
import { readTokenizerJson } from './pipeline.js';
import { invalid } from './schema.js';

const named = z.union([z.string(), z.looseObject({ content: z.string() }).transform(({ content }) => content)]).nullish();
const namedSchema = z.looseObject({ bos_token: named, eos_token: named });
const settingsSchema = namedSchema.extend({
  add_bos_token: z.boolean().nullish(),
  chat_template: z.union([z.string(), z.array(z.looseObject({ name: z.string(), template: z.string() }))]).nullish(),
});
/** config.json and generation_config.json name the same ids alike. */
const idsSchema = generationConfigSchema.pick({ bos_token_id: true, eos_token_id: true });

/**
 * The tokenizer of a Hugging Face folder: tokenizer.json, and where present tokenizer_config.json, special_tokens_map.json, chat_template.jinja,
 * generation_config.json and config.json for special ids and the chat template.
 * @throws KvsiftError `file_not_found`, `file_unreadable`, `tokenizer_invalid`
 */
export async function loadTokenizerFolder(folder: string): Promise<Tokenizer> {
  const path = join(folder, 'tokenizer.json');
  const parts = readTokenizerJson(await readJsonFile(path, 'tokenizer_invalid'), path);
  const settings = await readOptional(join(folder, 'tokenizer_config.json'), settingsSchema);
  const map = await readOptional(join(folder, 'special_tokens_map.json'), namedSchema);
  const generation = await readOptional(join(folder, 'generation_config.json'), idsSchema);
  const config = await readOptional(join(folder, 'config.json'), idsSchema);

  const idOf = (token: string | null | undefined) => {
    const id = typeof token === 'string' ? parts.tokens.indexOf(token) : -1;
    return id < 0 ? undefined : id;
  };
  const bosId =
    idOf(settings?.bos_token) ?? idOf(map?.bos_token) ?? list(generation?.bos_token_id)[0] ?? list(config?.bos_token_id)[0];
  const eosIds = [
    ...list(generation?.eos_token_id),
    ...list(idOf(settings?.eos_token) ?? idOf(map?.eos_token)),
    ...list(config?.eos_token_id),
  ];
  let { prefix } = parts;
  if (bosId !== undefined && settings?.add_bos_token === true && !prefix.includes(bosId)) prefix = [bosId, ...prefix];
  if (settings?.add_bos_token === false) prefix = prefix.filter((id) => id !== bosId);
  const chatTemplate = await templateOf(folder, settings);
  return assembleTokenizer({ ...parts, prefix, bosId, eosIds: [...new Set(eosIds)], chatTemplate });
}

function list(ids: number | number[] | null | undefined): number[] {
  return typeof ids === 'number' ? [ids] : (ids ?? []);
}

async function readOptional<S extends z.ZodType>(path: string, schema: S): Promise<z.infer<S> | undefined> {
  if ((await pathKind(path)) === 'nothing') return undefined;
  const parsed = schema.safeParse(await readJsonFile(path, 'tokenizer_invalid'));
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw invalid(path, `${issue?.path.join('.') || 'the file'}: ${issue?.message ?? 'not as expected'}`);
}

/** The file of its own wins, as in transformers; of several named templates the one called "default". */
async function templateOf(folder: string, settings: z.infer<typeof settingsSchema> | undefined): Promise<string | undefined> {
  const path = join(folder, 'chat_template.jinja');
  if ((await pathKind(path)) !== 'nothing') return new TextDecoder().decode(await readSmallFile(path, 'tokenizer_invalid'));
  const template = settings?.chat_template ?? undefined;
  return Array.isArray(template) ? template.find(({ name }) => name === 'default')?.template : template;
}
