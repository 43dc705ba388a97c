import { KvsiftError, type StoredTensor } from '@kvsift/tensor';

/** f32 value of an IEEE half given by its bits. */
export function halfToFloat(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** Values of a stored tensor from its bytes. Copies: tensors in a file need not be aligned. */
export function toFloat32(tensor: StoredTensor, bytes: Uint8Array): Float32Array {
  return takeRows(tensor, elements(tensor, bytes));
}

function elements(tensor: StoredTensor, bytes: Uint8Array): Float32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  switch (tensor.dtype) {
    case 'f32':
      return Float32Array.from({ length: bytes.length / 4 }, (_, i) => view.getFloat32(4 * i, true));
    case 'f16':
      return Float32Array.from({ length: bytes.length / 2 }, (_, i) => halfToFloat(view.getUint16(2 * i, true)));
    case 'bf16': {
      const words = Uint32Array.from({ length: bytes.length / 2 }, (_, i) => view.getUint16(2 * i, true) << 16);
      return new Float32Array(words.buffer);
    }
    case 'i32':
      return Float32Array.from({ length: bytes.length / 4 }, (_, i) => view.getInt32(4 * i, true));
    case 'u8':
      return Float32Array.from(bytes);
    default:
      throw new KvsiftError('unsupported', `${tensor.path}: tensor "${tensor.name}" is ${tensor.dtype}, not an element type`, {
        tensor: tensor.name,
      });
  }
}

function takeRows(tensor: StoredTensor, values: Float32Array): Float32Array {
  const { rowOrder } = tensor;
  if (!rowOrder) return values;
  const columns = tensor.shape.at(-1) ?? 1;
  const out = new Float32Array(rowOrder.length * columns);
  rowOrder.forEach((row, i) => {
    out.set(values.subarray(row * columns, (row + 1) * columns), i * columns);
  });
  return out;
}
