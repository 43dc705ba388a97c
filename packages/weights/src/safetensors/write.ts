import { open, rename, rm } from 'node:fs/promises';
import type { HostArray } from '@kvsift/tensor';
import { KvsiftError } from '@kvsift/tensor';

/** One tensor to write. */
export interface TensorToWrite {
  readonly name: string;
  readonly dtype: 'F32' | 'F16' | 'BF16' | 'I32' | 'U8';
  readonly shape: readonly number[];
  readonly data: HostArray;
}

/**
 * Writes a safetensors file: all of it or, where writing fails, nothing.
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
  const temporary = `${path}.${process.pid}.part`;
  try {
    const file = await open(temporary, 'w');
    try {
      for (const part of [length, head, ...tensors.map(({ data }) => data)])
        await file.write(new Uint8Array(part.buffer, part.byteOffset, part.byteLength));
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw new KvsiftError('file_unreadable', `${path}: could not be written`, { path }, { cause: error });
  }
}
