import { KvsiftError, type StoredTensor } from '@kvsift/tensor';
import { z } from 'zod';
import { parseJson } from '../files/json.js';
import { type FileFacts, readInto, withFile } from '../files/regular-file.js';
import { exactProduct, sortedWithoutOverlap } from '../layout.js';
import { safetensorsTypes } from './dtypes.js';

/** Limit of the format (safetensors README, "Benefits"). */
const maxHeaderBytes = 100_000_000;

const count = z.number().int().nonnegative();
const entrySchema = z.object({ dtype: z.string(), shape: z.array(count), data_offsets: z.tuple([count, count]) });
const metadataSchema = z.record(z.string(), z.string());

/** Contents of the header of one .safetensors file. */
export interface SafetensorsHeader {
  readonly file: FileFacts;
  readonly metadata: ReadonlyMap<string, string>;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  readonly unsupported: ReadonlyMap<string, string>;
}

/**
 * Reads and checks the header of a .safetensors file; the tensor bytes stay on disk.
 * @throws KvsiftError `file_not_found`, `file_unreadable`, `file_malformed`
 */
export async function readSafetensorsHeader(path: string): Promise<SafetensorsHeader> {
  return withFile(path, async (handle, file) => {
    if (file.size < 8) throw malformed(path, `header length: expected 8 bytes, the file has ${file.size}`);
    const prefix = new Uint8Array(8);
    await readInto(handle, path, prefix, 0);
    if (new TextDecoder().decode(prefix).startsWith('GGUF'))
      throw malformed(path, 'this is a GGUF file: let its name end with .gguf');
    const length = new DataView(prefix.buffer).getBigUint64(0, true);
    const limit = Math.min(maxHeaderBytes, file.size - 8);
    if (length < 2n || length > BigInt(limit)) {
      throw malformed(path, `header length: expected 2 to ${limit} bytes in a file of ${file.size}, found ${length}`);
    }
    const bytes = new Uint8Array(Number(length));
    await readInto(handle, path, bytes, 8);
    return interpret(file, bytes);
  });
}

function interpret(file: FileFacts, bytes: Uint8Array): SafetensorsHeader {
  const { path } = file;
  const header = parseJson(bytes, `${path}: header`, 'file_malformed');
  if (bytes[0] !== 0x7b || typeof header !== 'object' || header === null) {
    throw malformed(path, 'header: expected a JSON object that begins with {');
  }
  const metadata = new Map<string, string>();
  const tensors = new Map<string, StoredTensor>();
  const unsupported = new Map<string, string>();
  const ranges = [];
  const dataStart = 8 + bytes.length;
  for (const [name, value] of Object.entries(header)) {
    if (name === '__metadata__') {
      const parsed = metadataSchema.safeParse(value);
      if (!parsed.success) throw malformed(path, '__metadata__: expected an object of strings');
      for (const [key, text] of Object.entries(parsed.data)) metadata.set(key, text);
      continue;
    }
    const { dtype, shape, start, end } = checkEntry(file, name, value, dataStart);
    ranges.push({ name, start, end });
    const known = safetensorsTypes.get(dtype)?.dtype;
    if (known) tensors.set(name, { name, dtype: known, shape, path, byteOffset: start, byteLength: end - start });
    else unsupported.set(name, dtype);
  }
  // The format has no holes and no bytes behind the last tensor.
  let expected = dataStart;
  for (const { name, start, end } of sortedWithoutOverlap(path, ranges)) {
    if (start !== expected) throw malformed(path, `tensor "${name}": expected to start at byte ${expected}, found ${start}`);
    expected = end;
  }
  if (expected !== file.size)
    throw malformed(path, `tensors end at byte ${expected}, the file at byte ${file.size}; expected the same`);
  return { file, metadata, tensors, unsupported };
}

function checkEntry(file: FileFacts, name: string, value: unknown, dataStart: number) {
  const fail = (reason: string) => malformed(file.path, `tensor "${name}": ${reason}`, { tensor: name });
  const parsed = entrySchema.safeParse(value);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw fail(`${issue?.path.join('.') || 'entry'}: ${issue?.message ?? 'expected dtype, shape and data_offsets'}`);
  }
  const { dtype, shape, data_offsets: offsets } = parsed.data;
  const type = safetensorsTypes.get(dtype);
  if (!type) throw fail(`dtype: expected one of ${[...safetensorsTypes.keys()].join(', ')}, found ${dtype.slice(0, 40)}`);
  const [begin, finish] = offsets;
  if (begin > finish) throw fail(`data_offsets: expected begin <= end, found [${begin}, ${finish}]`);
  if (dataStart + finish > file.size) {
    throw fail(`data_offsets: ends at byte ${dataStart + finish} of the file, which has ${file.size}`);
  }
  const bits = exactProduct([...shape, type.bits]);
  if (bits === undefined || bits !== (finish - begin) * 8) {
    const needs = bits === undefined ? 'more bytes than a file can have' : `${bits / 8} bytes`;
    throw fail(`shape: [${shape.slice(0, 8).join(', ')}] of ${dtype} needs ${needs}, data_offsets give ${finish - begin}`);
  }
  return { dtype, shape, start: dataStart + begin, end: dataStart + finish };
}

function malformed(path: string, reason: string, details: Record<string, unknown> = {}): KvsiftError {
  return new KvsiftError('file_malformed', `${path}: ${reason}`, { path, ...details });
}
