import {
  type Backend,
  type BlockType,
  blockLayout,
  type DType,
  elementCount,
  encodeQ8_0,
  floatToBfloat,
  floatToHalf,
  type HostArray,
  isBlockType,
  type KvType,
  type Shape,
  type Tensor,
  uniformAt,
} from '@kvsift/tensor';

/** Plain: about −1.5 … 1.5. Outliers: 1e4 beside 1e-4. Ties: few different values. */
export type Kind = 'plain' | 'outliers' | 'ties';

function uniforms(seed: number, count: number, purpose = 0): Float32Array {
  const key = { seed, sequence: 7, layer: 0, purpose };
  return Float32Array.from({ length: count }, (_, index) => uniformAt(key, 0, index));
}

/** Equal seeds give equal numbers. */
export function numbers(seed: number, count: number, kind: Kind = 'plain'): Float32Array {
  const plain = uniforms(seed, count).map((u) => 3 * (u - 0.5));
  if (kind === 'ties') return plain.map((value) => Math.round(value * 2) / 2);
  if (kind === 'outliers') return plain.map((value, index) => value * (index % 17 === 3 ? 1e4 : index % 5 === 0 ? 1e-4 : 1));
  return plain;
}

export function integersBelow(seed: number, count: number, limit: number): Int32Array {
  return Int32Array.from(uniforms(seed, count, 1), (u) => Math.floor(u * limit));
}

/** 0 … count − 1 in an order that the seed decides. */
export function shuffled(seed: number, count: number): number[] {
  const keys = uniforms(seed, count, 2);
  return Array.from({ length: count }, (_, index) => index).sort((a, b) => (keys[a] ?? 0) - (keys[b] ?? 0));
}

/** Where the half-precision scales of a block lie. */
const scaleOffsets: Readonly<Record<BlockType, readonly number[]>> = {
  q4_0: [0],
  q4_1: [0, 2],
  q5_0: [0],
  q5_1: [0, 2],
  q8_0: [0],
  q2_k: [80, 82],
  q3_k: [108],
  q4_k: [0, 2],
  q5_k: [0, 2],
  q6_k: [208],
  iq4_nl: [0],
  iq4_xs: [0],
};

/** Random bytes whose scales are finite, some of them zero, negative or subnormal. */
export function blockBytes(seed: number, dtype: BlockType, shape: Shape): Uint8Array {
  const { values, bytes } = blockLayout(dtype);
  const blocks = elementCount(shape) / values;
  const out = Uint8Array.from(uniforms(seed, blocks * bytes, 3), (u) => Math.floor(u * 256));
  const view = new DataView(out.buffer);
  const scales = uniforms(seed, 2 * blocks, 4);
  for (let block = 0; block < blocks; block++) {
    for (const [index, offset] of scaleOffsets[dtype].entries()) {
      const scale = 0.04 * ((scales[2 * block + index] ?? 0) - 0.3);
      const special = block % 11 === 7 ? [0, -0, 2 ** -20][block % 3] : undefined;
      view.setUint16(block * bytes + offset, floatToHalf(special ?? scale), true);
    }
  }
  return out;
}

/** Numbers in the form in which a dtype travels; block formats get random blocks. */
export function hostData(seed: number, dtype: DType, shape: Shape, kind: Kind = 'plain'): HostArray {
  if (isBlockType(dtype)) return blockBytes(seed, dtype, shape);
  const count = elementCount(shape);
  if (dtype === 'i32') return integersBelow(seed, count, 1000);
  if (dtype === 'u8') return Uint8Array.from(integersBelow(seed, count, 256));
  return encode(numbers(seed, count, kind), dtype);
}

/** f32 numbers as a cache holds them. */
export function encode(values: Float32Array, dtype: KvType): Float32Array | Uint16Array | Uint8Array {
  if (dtype === 'f32') return values;
  if (dtype === 'q8_0') return encodeQ8_0(values);
  return Uint16Array.from(values, dtype === 'f16' ? floatToHalf : floatToBfloat);
}

/** Uploads numbers of a seed as f32. */
export function floatTensor(backend: Backend, seed: number, shape: Shape, kind: Kind = 'plain'): Tensor {
  return backend.upload(numbers(seed, elementCount(shape), kind), 'f32', shape);
}

export function integerTensor(backend: Backend, values: readonly number[]): Tensor {
  return backend.upload(Int32Array.from(values), 'i32', [values.length]);
}
