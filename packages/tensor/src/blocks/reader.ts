import { halfToFloat } from '../float16.js';

/** Little-endian fields of block bytes. */
export interface BlockReader {
  byte(at: number): number;
  signed(at: number): number;
  /** u32 */
  word(at: number): number;
  /** IEEE half as a number */
  half(at: number): number;
}

export function blockReader(bytes: Uint8Array): BlockReader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return {
    byte: (at) => view.getUint8(at),
    signed: (at) => view.getInt8(at),
    word: (at) => view.getUint32(at, true),
    half: (at) => halfToFloat(view.getUint16(at, true)),
  };
}
