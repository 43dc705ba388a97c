/** A .safetensors file of a header and as many data bytes. */
export function safetensors(header: unknown, dataBytes: number): Uint8Array {
  const text = new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header));
  const bytes = new Uint8Array(8 + text.length + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true);
  bytes.set(text, 8);
  for (let i = 0; i < dataBytes; i++) bytes[8 + text.length + i] = i;
  return bytes;
}

/** Header entry of f32 values. */
export function f32Entry(
  shape: readonly number[],
  begin: number,
): { dtype: string; shape: readonly number[]; data_offsets: number[] } {
  return { dtype: 'F32', shape, data_offsets: [begin, begin + 4 * shape.reduce((a, b) => a * b, 1)] };
}
