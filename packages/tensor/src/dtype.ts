import { KvsiftError } from './errors.js';

/** Element types that ops compute with. */
export type ElementType = 'f32' | 'f16' | 'bf16' | 'i32' | 'u8';

/** GGUF block formats: weights only, opaque outside `linear`, `embedding` and `dequantize`. */
export type BlockType =
  | 'q4_0'
  | 'q4_1'
  | 'q5_0'
  | 'q5_1'
  | 'q8_0'
  | 'q2_k'
  | 'q3_k'
  | 'q4_k'
  | 'q5_k'
  | 'q6_k'
  | 'iq4_nl'
  | 'iq4_xs';

/** Element types of tensors, and block types of quantised weights. */
export type DType = ElementType | BlockType;

/** Storage types of a key/value cache. `q8_0` needs heads of whole blocks (32 channels), and halves a cache of 16 bits. */
export type KvType = (typeof kvTypes)[number];
/** Types in which keys and values can be stored. */
export const kvTypes = ['f32', 'f16', 'bf16', 'q8_0'] as const;

/** Values in one block and bytes of one block; an element type is a block of one value. */
export interface BlockLayout {
  readonly values: number;
  readonly bytes: number;
}

const layouts: Readonly<Record<DType, BlockLayout>> = {
  f32: { values: 1, bytes: 4 },
  f16: { values: 1, bytes: 2 },
  bf16: { values: 1, bytes: 2 },
  i32: { values: 1, bytes: 4 },
  u8: { values: 1, bytes: 1 },
  q4_0: { values: 32, bytes: 18 },
  q4_1: { values: 32, bytes: 20 },
  q5_0: { values: 32, bytes: 22 },
  q5_1: { values: 32, bytes: 24 },
  q8_0: { values: 32, bytes: 34 },
  q2_k: { values: 256, bytes: 84 },
  q3_k: { values: 256, bytes: 110 },
  q4_k: { values: 256, bytes: 144 },
  q5_k: { values: 256, bytes: 176 },
  q6_k: { values: 256, bytes: 210 },
  iq4_nl: { values: 32, bytes: 18 },
  iq4_xs: { values: 256, bytes: 136 },
};

/** All dtypes, in a fixed order. */
export const dtypes = Object.keys(layouts) as readonly DType[];

/** Block layout of a dtype. */
export function blockLayout(dtype: DType): BlockLayout {
  return layouts[dtype];
}

/** True for GGUF block formats. */
export function isBlockType(dtype: DType): dtype is BlockType {
  return layouts[dtype].values > 1;
}

/**
 * Bytes that a tensor takes when stored without padding.
 * @throws KvsiftError `shape_mismatch` where a row is not a whole number of blocks.
 */
export function byteLength(dtype: DType, shape: readonly number[]): number {
  const { values, bytes } = layouts[dtype];
  const columns = shape.at(-1) ?? 1;
  if (columns % values !== 0) {
    throw new KvsiftError('shape_mismatch', `a ${dtype} row holds whole blocks of ${values} values, not ${columns} values`, {
      dtype,
      shape,
    });
  }
  const rows = shape.slice(0, -1).reduce((product, size) => product * size, 1);
  return rows * (columns / values) * bytes;
}
