import { type BlockType, blockLayout } from '../dtype.js';
import { KvsiftError } from '../errors.js';
import { q2_k, q3_k, q4_k, q5_k, q6_k } from './k-quants.js';
import { q4_0, q4_1, q5_0, q5_1, q8_0 } from './legacy.js';
import { iq4_nl, iq4_xs } from './nonlinear.js';
import { type BlockReader, blockReader } from './reader.js';

export { encodeQ8_0 } from './encode.js';

type Decoder = (read: BlockReader, at: number, out: Float32Array, to: number) => void;

const decoders: Readonly<Record<BlockType, Decoder>> = {
  q4_0,
  q4_1,
  q5_0,
  q5_1,
  q8_0,
  q2_k,
  q3_k,
  q4_k,
  q5_k,
  q6_k,
  iq4_nl,
  iq4_xs,
};

/**
 * The values that GGUF block bytes stand for, in order.
 * @throws KvsiftError `shape_mismatch` where the bytes are not whole blocks
 */
export function dequantizeBlocks(dtype: BlockType, bytes: Uint8Array): Float32Array {
  const layout = blockLayout(dtype);
  if (bytes.length % layout.bytes !== 0) {
    throw new KvsiftError('shape_mismatch', `${bytes.length} bytes are not whole ${dtype} blocks of ${layout.bytes}`, { dtype });
  }
  const blocks = bytes.length / layout.bytes;
  const out = new Float32Array(blocks * layout.values);
  const read = blockReader(bytes);
  const decode = decoders[dtype];
  for (let block = 0; block < blocks; block++) decode(read, block * layout.bytes, out, block * layout.values);
  return out;
}
