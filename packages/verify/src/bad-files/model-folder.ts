import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';
import { parseJson, readSmallFile } from '@kvsift/weights';
import { z } from 'zod';

const indexSchema = z.looseObject({ weight_map: z.record(z.string(), z.string()) });

/** A .safetensors file that holds one f32 value under each name. */
function tinySafetensors(names: readonly string[]): Uint8Array {
  const entries = names.map((name, i) => [name, { dtype: 'F32', shape: [1], data_offsets: [4 * i, 4 * i + 4] }]);
  const header = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)));
  const bytes = new Uint8Array(8 + header.length + 4 * names.length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(header.length), true);
  bytes.set(header, 8);
  return bytes;
}

/** Copies one file under its real name into an otherwise empty model folder, hands that over and removes it. */
export async function withModelFolder<T>(file: string, realName: string, use: (folder: string) => Promise<T>): Promise<T> {
  const root = await mkdtemp(join(tmpdir(), 'kvsift-bad-files-'));
  try {
    // Deep enough that a name with ../../ stays inside what is removed.
    const folder = join(root, 'outer', 'inner', 'model');
    await mkdir(folder, { recursive: true });
    await copyFile(file, join(folder, realName));
    return await use(folder);
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

/**
 * Puts a minimal valid model around an index: what a name outside the folder points to exists and is sound, so that only the escape itself can
 * be refused; names inside are made where `complete`.
 */
export async function surroundIndex(folder: string, complete: boolean): Promise<void> {
  await writeFile(join(folder, 'model.safetensors'), tinySafetensors(['model.embed_tokens.weight']));
  const path = join(folder, 'model.safetensors.index.json');
  let json: unknown;
  try {
    json = parseJson(await readSmallFile(path, 'file_malformed'), path, 'file_malformed');
  } catch {
    return;
  }
  const index = indexSchema.safeParse(json);
  if (!index.success) return;
  for (const shard of new Set(Object.values(index.data.weight_map))) {
    const target = join(folder, shard);
    const leaves = !target.startsWith(join(folder, '/'));
    const withinRoot = target.startsWith(dirname(dirname(dirname(folder))));
    if (isAbsolute(shard) || !(leaves ? withinRoot : complete)) continue;
    const names = Object.entries(index.data.weight_map).filter(([, name]) => name === shard);
    await mkdir(dirname(target), { recursive: true });
    await writeFile(target, tinySafetensors(names.map(([name]) => name)));
  }
}
