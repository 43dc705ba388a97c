import { KvsiftError, type StoredTensor } from '@kvsift/tensor';
import { withFile } from '../files/regular-file.js';
import { exactProduct, sortedWithoutOverlap } from '../layout.js';
import type { MetadataValue, WeightContents } from '../weight-file.js';
import { HeaderCursor } from './cursor.js';
import { readMetadata } from './metadata.js';
import { type GgmlType, ggmlTypes } from './types.js';

/** 'GGUF' as a little-endian number. */
const magic = 0x46554747;
/** Dimensions of a ggml tensor. */
const maxRank = 4;
/** Bytes of the shortest key/value pair and tensor entry. */
const pairBytes = 13;
const entryBytes = 24;

interface TensorEntry {
  readonly name: string;
  readonly type: GgmlType;
  readonly shape: readonly number[];
  /** From the start of the data section. */
  readonly offset: number;
  readonly bytes: number;
}

/**
 * Reads and checks the header of a GGUF file (version 2 or 3, little-endian); the tensor bytes stay on disk.
 * @throws KvsiftError `file_not_found`, `file_unreadable`, `file_malformed`, `unsupported` (big-endian or split files)
 */
export async function readGguf(path: string): Promise<WeightContents> {
  return withFile(path, async (handle, file) => {
    const cursor = new HeaderCursor(handle, file);
    await readPrefix(cursor);
    cursor.field = 'tensor count';
    const tensorCount = await cursor.count(entryBytes);
    cursor.field = 'metadata count';
    const pairs = await cursor.count(pairBytes);
    const metadata = await readMetadata(cursor, pairs);
    const alignment = alignmentOf(cursor, metadata);
    const entries = await readEntries(cursor, tensorCount, alignment);
    const dataStart = Math.ceil(cursor.position / alignment) * alignment;
    const tensors = new Map<string, StoredTensor>();
    const unsupported = new Map<string, string>();
    for (const { name, type, shape, offset, bytes } of entries) {
      const start = dataStart + offset;
      if (start + bytes > file.size) {
        cursor.field = `tensor "${name}"`;
        throw cursor.error(`expected its ${bytes} bytes at byte ${start}, the file has ${file.size} bytes`);
      }
      if (type.dtype) tensors.set(name, { name, dtype: type.dtype, shape, path, byteOffset: start, byteLength: bytes });
      else unsupported.set(name, type.name);
    }
    sortedWithoutOverlap(
      path,
      entries.map(({ name, offset, bytes }) => ({ name, start: dataStart + offset, end: dataStart + offset + bytes })),
    );
    return { format: 'gguf', files: [file], metadata, tensors, unsupported };
  });
}

async function readPrefix(cursor: HeaderCursor): Promise<void> {
  await cursor.need(4);
  const found = cursor.u32();
  if (found !== magic)
    throw cursor.error(`expected "GGUF", found bytes 0x${found.toString(16).padStart(8, '0')} (little-endian)`);
  cursor.field = 'version';
  await cursor.need(4);
  const version = cursor.u32();
  if (version === 0x02000000 || version === 0x03000000) {
    const { path } = cursor.file;
    throw new KvsiftError('unsupported', `${path}: the file is big-endian; expected little-endian, convert it with gguf-py`, {
      path,
    });
  }
  if (version !== 2 && version !== 3) throw cursor.error(`expected 2 or 3, found ${version}`);
}

function alignmentOf(cursor: HeaderCursor, metadata: ReadonlyMap<string, MetadataValue>): number {
  const { path } = cursor.file;
  const parts = metadata.get('split.count');
  if (typeof parts === 'number' && parts > 1) {
    throw new KvsiftError(
      'unsupported',
      `${path}: part of a model split into ${parts} files; join them with llama-gguf-split --merge`,
      {
        path,
      },
    );
  }
  const alignment = metadata.get('general.alignment') ?? 32;
  cursor.field = 'general.alignment';
  if (typeof alignment !== 'number' || alignment < 1 || !Number.isInteger(Math.log2(alignment))) {
    throw cursor.error(`expected a power of two, found ${String(alignment)}`);
  }
  return alignment;
}

async function readEntries(cursor: HeaderCursor, count: number, alignment: number): Promise<TensorEntry[]> {
  const entries = new Map<string, TensorEntry>();
  for (let i = 0; i < count; i++) {
    cursor.field = `name of tensor ${i}`;
    const name = await cursor.string();
    cursor.field = `tensor "${name.slice(0, 200)}"`;
    if (entries.has(name)) throw cursor.error('occurs twice');
    entries.set(name, await readEntry(cursor, name, alignment));
  }
  return [...entries.values()];
}

async function readEntry(cursor: HeaderCursor, name: string, alignment: number): Promise<TensorEntry> {
  await cursor.need(4);
  const rank = cursor.u32();
  if (rank > maxRank) throw cursor.error(`expected at most ${maxRank} dimensions, found ${rank}`);
  await cursor.need(8 * rank + 12);
  // The file names the fastest dimension first.
  const shape = Array.from({ length: rank }, () => Number(cursor.u64())).reverse();
  const number = cursor.u32();
  const type = ggmlTypes.get(number);
  if (!type) throw cursor.error(`type: expected one of ${[...ggmlTypes.keys()].join(', ')}, found ${number}`);
  const offset = Number(cursor.u64());
  const columns = shape.at(-1) ?? 1;
  if (columns % type.values !== 0) {
    throw cursor.error(`expected rows of whole ${type.name} blocks of ${type.values} values, found ${columns} values`);
  }
  const bytes = exactProduct([...shape.slice(0, -1), columns / type.values, type.bytes]);
  if (bytes === undefined || !shape.every(Number.isSafeInteger))
    throw cursor.error(`dimensions [${shape.join(', ')}] are too large`);
  if (!Number.isSafeInteger(offset) || offset % alignment !== 0) {
    throw cursor.error(`offset: expected a multiple of the alignment ${alignment}, found ${offset}`);
  }
  return { name, type, shape, offset, bytes };
}
