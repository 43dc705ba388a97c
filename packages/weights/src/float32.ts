import { bfloatToFloat, dequantizeBlocks, halfToFloat, isBlockType, type StoredTensor } from '@kvsift/tensor';

/** Values of a stored tensor from its bytes, `rowOrder` applied. Copies: tensors in a file need not be aligned. */
export function toFloat32(tensor: StoredTensor, bytes: Uint8Array): Float32Array {
  return takeRows(tensor, values(tensor, bytes));
}

function values({ dtype }: StoredTensor, bytes: Uint8Array): Float32Array {
  if (isBlockType(dtype)) return dequantizeBlocks(dtype, bytes);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  switch (dtype) {
    case 'f32':
      return read(bytes.length / 4, (i) => view.getFloat32(4 * i, true));
    case 'f16':
      return read(bytes.length / 2, (i) => halfToFloat(view.getUint16(2 * i, true)));
    case 'bf16':
      return read(bytes.length / 2, (i) => bfloatToFloat(view.getUint16(2 * i, true)));
    case 'i32':
      return read(bytes.length / 4, (i) => view.getInt32(4 * i, true));
    case 'u8':
      return Float32Array.from(bytes);
  }
}

function read(length: number, at: (index: number) => number): Float32Array {
  const out = new Float32Array(length);
  for (let i = 0; i < length; i++) out[i] = at(i);
  return out;
}

function takeRows({ rowOrder, shape }: StoredTensor, all: Float32Array): Float32Array {
  if (!rowOrder) return all;
  const columns = shape.at(-1) ?? 1;
  const out = new Float32Array(rowOrder.length * columns);
  rowOrder.forEach((row, i) => {
    out.set(all.subarray(row * columns, (row + 1) * columns), i * columns);
  });
  return out;
}
