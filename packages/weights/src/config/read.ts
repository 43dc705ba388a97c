import { join } from 'node:path';
import { KvsiftError } from '@kvsift/tensor';
import type { z } from 'zod';
import { readJsonFile } from '../files/json.js';
import { pathKind } from '../files/regular-file.js';
import { type GenerationConfig, generationConfigSchema, type HfConfig, hfConfigSchema } from './model-config.js';

/** Settings of a Hugging Face model folder. */
export interface ModelConfig {
  readonly config: HfConfig;
  /** Absent where the folder has no generation_config.json. */
  readonly generation?: GenerationConfig;
}

/**
 * Reads config.json and, where present, generation_config.json of a model folder. Strict JSON: NaN, comments and repeated keys are refused.
 * @throws KvsiftError `file_not_found`, `file_unreadable`, `config_invalid` (names file, field and what was expected)
 */
export async function readModelConfig(folder: string): Promise<ModelConfig> {
  if ((await pathKind(folder)) === 'file') {
    throw new KvsiftError('file_not_found', `${folder} is a file: give the folder that holds it and config.json`, {
      path: folder,
    });
  }
  const config = await readValid(join(folder, 'config.json'), hfConfigSchema);
  const generationPath = join(folder, 'generation_config.json');
  if ((await pathKind(generationPath)) === 'nothing') return { config };
  return { config, generation: await readValid(generationPath, generationConfigSchema) };
}

async function readValid<S extends z.ZodType>(path: string, schema: S): Promise<z.infer<S>> {
  const parsed = schema.safeParse(await readJsonFile(path, 'config_invalid'));
  if (parsed.success) return parsed.data;
  const reasons = parsed.error.issues.slice(0, 5).map((issue) => `${issue.path.join('.') || 'the file'}: ${issue.message}`);
  throw new KvsiftError('config_invalid', `${path}: ${reasons.join('; ')}`, { path, reasons });
}
