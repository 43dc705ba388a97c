import type { CacheOptions, LayerDump } from '@kvsift/cache';
import { KvsiftError } from '@kvsift/tensor';
import { type Content, type FileType, firstNotFinite } from './session-content.js';

/** The layers of a session file. */
export interface SavedLayers {
  readonly dumps: readonly LayerDump[];
  /** Entries of each layer's longest head. */
  readonly lengths: readonly number[];
  /** Names of the tensors that they came from. */
  readonly names: ReadonlySet<string>;
}

/** What a file says that cannot be. */
export function malformed(path: string, name: string, found: string, expected: string): KvsiftError {
  return new KvsiftError('file_malformed', `${path}: ${name} ${found}, expected ${expected}`, { path, name });
}

/**
 * The layers that a file has for a cache.
 * @param seen tokens that the session had seen
 * @throws KvsiftError `cache_mismatch` where they are of another shape, `file_malformed` naming what no cache can hold
 */
export async function layerDumps(
  path: string,
  content: ReadonlyMap<string, Content>,
  { layers, storage }: CacheOptions,
  seen: number,
): Promise<SavedLayers> {
  for (const [name, tensor] of content) {
    const at = await firstNotFinite(tensor);
    if (at >= 0) throw malformed(path, name, `holds no number at ${at}`, 'finite numbers');
  }
  const names = new Set<string>();
  const dumps = layers.map(({ kvHeads, headDim, positions }, index): LayerDump => {
    const read = (part: string, dtype: FileType, shape: readonly number[]): Content['data'] => {
      const name = `layers.${index}.${part}`;
      names.add(name);
      const found = content.get(name);
      const wanted = `${dtype} [${shape.join(', ')}]`;
      if (found === undefined) throw malformed(path, name, 'is missing', wanted);
      if (found.dtype === dtype && found.shape.join() === shape.join()) return found.data;
      const message = `${path}: ${name} is ${found.dtype} [${found.shape.join(', ')}], expected ${wanted}`;
      throw new KvsiftError('cache_mismatch', message, { path, name });
    };
    const lengths = read('lengths', 'i32', [kvHeads]) as Int32Array;
    const odd = lengths.find((length) => length < 0 || length > seen);
    if (odd !== undefined)
      throw malformed(path, `layers.${index}.lengths`, `holds ${odd}`, `0 to ${seen}, the number of tokens seen`);
    const rows = lengths.reduce((sum, length) => sum + length, 0);
    const own = positions ? (read('positions', 'i32', [rows]) as Int32Array) : undefined;
    if (own !== undefined) demandOrder(path, `layers.${index}.positions`, own, lengths, seen);
    // A session that tracks no positions may go on from one that did.
    names.add(`layers.${index}.positions`);
    return {
      lengths,
      keys: read('keys', storage.dtype, [rows, headDim]),
      values: read('values', storage.dtype, [rows, headDim]),
      ...(own && { positions: own }),
    };
  });
  return { dumps, lengths: dumps.map(({ lengths }) => Math.max(0, ...lengths)), names };
}

/** Entries of a head lie in the order of the text. */
function demandOrder(path: string, name: string, positions: Int32Array, lengths: Int32Array, seen: number): void {
  let start = 0;
  for (const length of lengths) {
    let before = -1;
    for (const position of positions.subarray(start, start + length)) {
      if (position <= before || position >= seen)
        throw malformed(path, name, `holds ${position} behind ${before}`, `ascending positions below ${seen} in each head`);
      before = position;
    }
    start += length;
  }
}
