import { join } from 'node:path';
import { KvsiftError } from '@kvsift/tensor';
import { pathKind, readInto, withFile } from './files/regular-file.js';
import { readGguf } from './gguf/read.js';
import { readSafetensorsHeader } from './safetensors/header.js';
import { readShards } from './safetensors/sharded.js';
import { type WeightContents, type WeightFile, weightFile } from './weight-file.js';

/**
 * Reads the headers of a GGUF file, a safetensors file or a Hugging Face folder (model.safetensors.index.json, else model.safetensors).
 * Everything that a header claims is checked against the files; tensor bytes stay on disk.
 * @throws KvsiftError `file_not_found`, `file_unreadable`, `file_malformed` (names file, field and what was expected), `unsupported`
 */
export async function openWeights(path: string): Promise<WeightFile> {
  return weightFile(await readContents(path));
}

async function readContents(path: string): Promise<WeightContents> {
  if ((await pathKind(path)) === 'folder') {
    const index = join(path, 'model.safetensors.index.json');
    if ((await pathKind(index)) !== 'nothing') return readShards(index);
    const single = join(path, 'model.safetensors');
    if ((await pathKind(single)) !== 'nothing') return readSingle(single);
    const missing = `${path}: expected model.safetensors or model.safetensors.index.json in the folder, found neither`;
    throw new KvsiftError('file_not_found', missing, { path });
  }
  if (path.endsWith('.index.json')) return readShards(path);
  return path.endsWith('.safetensors') || (await seemsSafetensors(path)) ? readSingle(path) : readGguf(path);
}

/** Whatever its name: the length of a header, which is a JSON object. */
function seemsSafetensors(path: string): Promise<boolean> {
  return withFile(path, async (handle, { size }) => {
    if (size < 9) return false;
    const start = new Uint8Array(9);
    await readInto(handle, path, start, 0);
    const length = new DataView(start.buffer).getBigUint64(0, true);
    return start[8] === '{'.charCodeAt(0) && length <= BigInt(size - 8);
  });
}

async function readSingle(path: string): Promise<WeightContents> {
  const { file, ...rest } = await readSafetensorsHeader(path);
  return { format: 'safetensors', files: [file], ...rest };
}
