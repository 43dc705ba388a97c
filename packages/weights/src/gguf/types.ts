import type { DType } from '@kvsift/tensor';

/** A tensor type of ggml: values and bytes of a block, and the kvsift type where ops can use it. */
export interface GgmlType {
  readonly name: string;
  readonly values: number;
  readonly bytes: number;
  readonly dtype?: DType;
}

const type = (name: string, values: number, bytes: number, dtype?: DType): GgmlType =>
  dtype ? { name, values, bytes, dtype } : { name, values, bytes };

/** Tensor types by their number in a GGUF file (ggml.h, enum ggml_type). */
export const ggmlTypes: ReadonlyMap<number, GgmlType> = new Map([
  [0, type('F32', 1, 4, 'f32')],
  [1, type('F16', 1, 2, 'f16')],
  [2, type('Q4_0', 32, 18, 'q4_0')],
  [3, type('Q4_1', 32, 20, 'q4_1')],
  [6, type('Q5_0', 32, 22, 'q5_0')],
  [7, type('Q5_1', 32, 24, 'q5_1')],
  [8, type('Q8_0', 32, 34, 'q8_0')],
  [9, type('Q8_1', 32, 36)],
  [10, type('Q2_K', 256, 84, 'q2_k')],
  [11, type('Q3_K', 256, 110, 'q3_k')],
  [12, type('Q4_K', 256, 144, 'q4_k')],
  [13, type('Q5_K', 256, 176, 'q5_k')],
  [14, type('Q6_K', 256, 210, 'q6_k')],
  [15, type('Q8_K', 256, 292)],
  [16, type('IQ2_XXS', 256, 66)],
  [17, type('IQ2_XS', 256, 74)],
  [18, type('IQ3_XXS', 256, 98)],
  [19, type('IQ1_S', 256, 50)],
  [20, type('IQ4_NL', 32, 18, 'iq4_nl')],
  [21, type('IQ3_S', 256, 110)],
  [22, type('IQ2_S', 256, 82)],
  [23, type('IQ4_XS', 256, 136, 'iq4_xs')],
  [24, type('I8', 1, 1)],
  [25, type('I16', 1, 2)],
  [26, type('I32', 1, 4, 'i32')],
  [27, type('I64', 1, 8)],
  [28, type('F64', 1, 8)],
  [29, type('IQ1_M', 256, 56)],
  [30, type('BF16', 1, 2, 'bf16')],
  [34, type('TQ1_0', 256, 54)],
  [35, type('TQ2_0', 256, 66)],
  [39, type('MXFP4', 32, 17)],
]);

/** Value types of GGUF metadata (GGUF specification, enum gguf_metadata_value_type). */
export const valueTypes = [
  'uint8',
  'int8',
  'uint16',
  'int16',
  'uint32',
  'int32',
  'float32',
  'bool',
  'string',
  'array',
  'uint64',
  'int64',
  'float64',
] as const;

export type ValueType = (typeof valueTypes)[number];

/** Fewest bytes that a value of each type takes in the file. */
export const valueBytes: Readonly<Record<ValueType, number>> = {
  uint8: 1,
  int8: 1,
  uint16: 2,
  int16: 2,
  uint32: 4,
  int32: 4,
  float32: 4,
  bool: 1,
  string: 8,
  array: 12,
  uint64: 8,
  int64: 8,
  float64: 8,
};
