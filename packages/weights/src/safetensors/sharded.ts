import { dirname, isAbsolute, relative, resolve } from 'node:path';
import { KvsiftError, type StoredTensor } from '@kvsift/tensor';
import { z } from 'zod';
import { readJsonFile } from '../files/json.js';
import { pathKind } from '../files/regular-file.js';
import type { WeightContents } from '../weight-file.js';
import { readSafetensorsHeader } from './header.js';

const indexSchema = z.looseObject({ weight_map: z.record(z.string(), z.string()) });

/**
 * Reads the headers of all shards that a model.safetensors.index.json names.
 * @throws KvsiftError `file_not_found` for the index or a shard, `file_malformed` where a shard lies outside the folder, lacks a tensor
 * that the index places in it, or repeats a tensor of another
 */
export async function readShards(indexPath: string): Promise<WeightContents> {
  const parsed = indexSchema.safeParse(await readJsonFile(indexPath, 'file_malformed'));
  if (!parsed.success) {
    throw malformed(indexPath, 'weight_map: expected an object that maps tensor names to file names');
  }
  const placed = Object.entries(parsed.data.weight_map);
  if (placed.length === 0) throw malformed(indexPath, 'weight_map: expected at least one tensor, found none');
  const names = [...new Set(placed.map(([, shard]) => shard))];
  const paths = new Map(names.map((name) => [name, shardPath(indexPath, name)]));
  for (const [name, path] of paths) {
    if ((await pathKind(path)) === 'nothing') {
      throw new KvsiftError(
        'file_not_found',
        `${indexPath}: weight_map names ${name}, expected it beside the index, found nothing`,
        {
          path: indexPath,
          shard: path,
        },
      );
    }
  }
  const metadata = new Map<string, string>();
  const tensors = new Map<string, StoredTensor>();
  const unsupported = new Map<string, string>();
  const shardOf = new Map<string, string>();
  const files = [];
  for (const [shard, path] of paths) {
    const header = await readSafetensorsHeader(path);
    files.push(header.file);
    for (const [key, text] of header.metadata) metadata.set(key, text);
    for (const name of [...header.tensors.keys(), ...header.unsupported.keys()]) {
      const other = shardOf.get(name);
      if (other !== undefined) throw malformed(path, `tensor "${name}" is in ${other} already`);
      shardOf.set(name, shard);
    }
    for (const [name, tensor] of header.tensors) tensors.set(name, tensor);
    for (const [name, type] of header.unsupported) unsupported.set(name, type);
  }
  for (const [name, shard] of placed) {
    const found = shardOf.get(name);
    if (found !== shard) {
      throw malformed(
        indexPath,
        `weight_map: expected tensor "${name}" in ${shard}, found it ${found ? `in ${found}` : 'nowhere'}`,
      );
    }
  }
  return { format: 'safetensors', files, metadata, tensors, unsupported };
}

function shardPath(indexPath: string, name: string): string {
  const folder = dirname(indexPath);
  const path = resolve(folder, name);
  const inside = relative(folder, path);
  const leaves = inside === '' || inside.split(/[\\/]/)[0] === '..' || isAbsolute(inside);
  if (leaves || isAbsolute(name) || /[\0\\]/.test(name)) {
    throw malformed(
      indexPath,
      `weight_map: expected names of files inside ${folder}, found ${JSON.stringify(name.slice(0, 200))}`,
    );
  }
  return path;
}

function malformed(path: string, reason: string): KvsiftError {
  return new KvsiftError('file_malformed', `${path}: ${reason}`, { path });
}
