/** Little-endian bytes of a GGUF, written piece by piece; a test breaks one piece. */
export class Bytes {
  readonly #parts: Uint8Array[] = [];
  #length = 0;

  get length(): number {
    return this.#length;
  }

  raw(bytes: Uint8Array): this {
    this.#parts.push(bytes);
    this.#length += bytes.length;
    return this;
  }

  u32(value: number): this {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setUint32(0, value, true);
    return this.raw(bytes);
  }

  u64(value: number | bigint): this {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, BigInt.asUintN(64, BigInt(value)), true);
    return this.raw(bytes);
  }

  f32(value: number): this {
    return this.raw(new Uint8Array(Float32Array.of(value).buffer));
  }

  f64(value: number): this {
    return this.raw(new Uint8Array(Float64Array.of(value).buffer));
  }

  u8(...values: number[]): this {
    return this.raw(Uint8Array.from(values));
  }

  text(value: string): this {
    const bytes = new TextEncoder().encode(value);
    return this.u64(bytes.length).raw(bytes);
  }

  pad(alignment: number): this {
    return this.raw(new Uint8Array((alignment - (this.#length % alignment)) % alignment));
  }

  done(): Uint8Array {
    const out = new Uint8Array(this.#length);
    let at = 0;
    for (const part of this.#parts) {
      out.set(part, at);
      at += part.length;
    }
    return out;
  }
}

export interface TensorRecord {
  readonly name: string;
  /** As the file has them: fastest first. */
  readonly dims: readonly (number | bigint)[];
  readonly type: number;
  readonly offset: number | bigint;
}

/** A GGUF of given metadata pairs and tensor records, followed by `dataBytes` bytes 0, 1, 2, … */
export function gguf(parts: {
  readonly version?: number;
  readonly pairs?: readonly ((bytes: Bytes) => Bytes)[];
  readonly tensors?: readonly TensorRecord[];
  readonly dataBytes?: number;
  readonly alignment?: number;
}): Uint8Array {
  const { version = 3, pairs = [], tensors = [], dataBytes = 0, alignment = 32 } = parts;
  const bytes = new Bytes().u8(0x47, 0x47, 0x55, 0x46).u32(version).u64(tensors.length).u64(pairs.length);
  for (const pair of pairs) pair(bytes);
  for (const { name, dims, type, offset } of tensors) {
    bytes.text(name).u32(dims.length);
    for (const size of dims) bytes.u64(size);
    bytes.u32(type).u64(offset);
  }
  if (tensors.length > 0) bytes.pad(alignment);
  return bytes.raw(Uint8Array.from({ length: dataBytes }, (_, i) => i)).done();
}
