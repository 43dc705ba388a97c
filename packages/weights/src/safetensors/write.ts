import { open, realpath, rename, rm } from 'node:fs/promises';
import type { HostArray } from '@kvsift/tensor';
import { KvsiftError } from '@kvsift/tensor';
import { pathKind } from '../files/regular-file.js';

/** One tensor to write. */
export interface TensorToWrite {
  readonly name: string;
  readonly dtype: 'F32' | 'F16' | 'BF16' | 'I32' | 'U8';
  readonly shape: readonly number[];
  readonly data: HostArray;
}

/**
 * Writes a safetensors file: all of it or, where writing fails, nothing. A link goes on pointing at the file that it names; what is no regular file stays.
 * @throws KvsiftError `file_unreadable` where the file cannot be written
 */
export async function writeSafetensors(
  path: string,
  tensors: readonly TensorToWrite[],
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  const header: Record<string, object> = { __metadata__: { ...metadata } };
  let offset = 0;
  for (const { name, dtype, shape, data } of tensors) {
    header[name] = { dtype, shape, data_offsets: [offset, offset + data.byteLength] };
    offset += data.byteLength;
  }
  const text = JSON.stringify(header);
  const head = Buffer.from(text.padEnd(Math.ceil(Buffer.byteLength(text) / 8) * 8 - Buffer.byteLength(text) + text.length));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(head.length));
  let temporary: string | undefined;
  try {
    const kind = await pathKind(path);
    if (kind === 'folder' || kind === 'other') throw new Error('it is no regular file');
    const target = kind === 'file' ? await realpath(path) : path;
    temporary = `${target}.${process.pid}.part`;
    const file = await open(temporary, 'w');
    try {
      // Unlike `write`, `writeFile` goes on where the system takes a part only: the end of a full disk is an error then, not a short file.
      for (const part of [length, head, ...tensors.map(({ data }) => data)])
        await file.writeFile(new Uint8Array(part.buffer, part.byteOffset, part.byteLength));
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, target);
  } catch (error) {
    if (temporary !== undefined) await rm(temporary, { force: true });
    const reason = error instanceof Error ? error.message : String(error);
    throw new KvsiftError('file_unreadable', `${path} cannot be written: ${reason}`, { path }, { cause: error });
  }
}
