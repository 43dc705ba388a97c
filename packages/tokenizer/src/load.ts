import { KvsiftError } from '@kvsift/tensor';
import { openWeights, pathKind, type WeightContents } from '@kvsift/weights';
import { tokenizerFromGguf } from './gguf/load.js';
import type { Tokenizer } from './tokenizer.js';
import { loadTokenizerFolder } from './tokenizer-json/folder.js';

/**
 * Loads the tokenizer of a model.
 * @param source a Hugging Face folder with tokenizer.json, a .gguf file, or a GGUF that `openWeights` has read
 * @throws KvsiftError `file_not_found`, `file_unreadable`, `file_malformed` (GGUF), `tokenizer_invalid`
 */
export async function loadTokenizer(source: string | Pick<WeightContents, 'files' | 'metadata' | 'format'>): Promise<Tokenizer> {
  if (typeof source === 'string' && (await pathKind(source)) === 'folder') return loadTokenizerFolder(source);
  const file = typeof source === 'string' ? await openWeights(source) : source;
  if (file.format === 'gguf') return tokenizerFromGguf(file);
  const path = file.files[0]?.path;
  throw new KvsiftError(
    'tokenizer_invalid',
    `${path}: expected a GGUF or a folder with tokenizer.json; safetensors hold no vocabulary`,
    {
      path,
    },
  );
}
