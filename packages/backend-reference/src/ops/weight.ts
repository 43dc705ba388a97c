import { bfloatToFloat, dequantizeBlocks, halfToFloat, isBlockType, type Tensor } from '@kvsift/tensor';
import { floats, storageOf } from '../host-tensor.js';

/** Values of an f32, f16, bf16 or block tensor. */
export function weightValues(x: Tensor): Float32Array {
  const { dtype } = x;
  if (dtype === 'f32') return floats(x);
  const { data } = storageOf(x);
  if (isBlockType(dtype)) return dequantizeBlocks(dtype, data as Uint8Array);
  return Float32Array.from(data as Uint16Array, dtype === 'f16' ? halfToFloat : bfloatToFloat);
}
