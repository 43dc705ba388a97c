import { open } from 'node:fs/promises';
import { bfloatToFloat, dequantizeBlocks, halfToFloat, isBlockType, KvsiftError, type StoredTensor } from '@kvsift/tensor';

/** Values of a stored tensor as f32, rows in the order asked for. @throws KvsiftError `file_not_found`, `file_malformed` where the file is too short */
export async function readStored(source: StoredTensor): Promise<Float32Array> {
  const bytes = await readRange(source);
  const values = decode(source, bytes);
  const { rowOrder } = source;
  if (rowOrder === undefined) return values;
  const columns = source.shape.length === 1 ? 1 : (source.shape[1] ?? 0);
  const out = new Float32Array(rowOrder.length * columns);
  for (const [index, row] of rowOrder.entries()) out.set(values.subarray(row * columns, (row + 1) * columns), index * columns);
  return out;
}

async function readRange({ name, path, byteOffset, byteLength }: StoredTensor): Promise<Uint8Array> {
  const file = await open(path).catch((error: unknown) => {
    throw new KvsiftError('file_not_found', `${path}: cannot be opened`, { path }, { cause: error });
  });
  try {
    const { size } = await file.stat();
    if (byteOffset + byteLength > size) {
      throw new KvsiftError('file_malformed', `${path}: ${name} ends at byte ${byteOffset + byteLength}, the file at ${size}`, {
        path,
        name,
      });
    }
    const bytes = new Uint8Array(byteLength);
    await file.read(bytes, 0, byteLength, byteOffset);
    return bytes;
  } finally {
    await file.close();
  }
}

function decode({ dtype }: StoredTensor, bytes: Uint8Array): Float32Array {
  if (isBlockType(dtype)) return dequantizeBlocks(dtype, bytes);
  if (dtype === 'f32') return new Float32Array(bytes.buffer);
  const toFloat = dtype === 'f16' ? halfToFloat : bfloatToFloat;
  return Float32Array.from(new Uint16Array(bytes.buffer), toFloat);
}
