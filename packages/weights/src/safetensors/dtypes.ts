import type { DType } from '@kvsift/tensor';

/** Bits of one element, and the kvsift type where ops can use it. */
export interface SafetensorsType {
  readonly bits: number;
  readonly dtype?: DType;
}

/** Element types of the safetensors format, 0.6 included. */
export const safetensorsTypes: ReadonlyMap<string, SafetensorsType> = new Map([
  ['F32', { bits: 32, dtype: 'f32' }],
  ['F16', { bits: 16, dtype: 'f16' }],
  ['BF16', { bits: 16, dtype: 'bf16' }],
  ['I32', { bits: 32, dtype: 'i32' }],
  ['U8', { bits: 8, dtype: 'u8' }],
  ['BOOL', { bits: 8 }],
  ['I8', { bits: 8 }],
  ['I16', { bits: 16 }],
  ['U16', { bits: 16 }],
  ['U32', { bits: 32 }],
  ['I64', { bits: 64 }],
  ['U64', { bits: 64 }],
  ['F64', { bits: 64 }],
  ['C64', { bits: 64 }],
  ['F8_E4M3', { bits: 8 }],
  ['F8_E5M2', { bits: 8 }],
  ['F8_E8M0', { bits: 8 }],
  ['F6_E2M3', { bits: 6 }],
  ['F6_E3M2', { bits: 6 }],
  ['F4', { bits: 4 }],
] satisfies [string, SafetensorsType][]);
