import { open } from 'node:fs/promises';
import type { WrittenType } from './quantize.js';

/** A metadata value with the type that it is written as. */
export type Metadata =
  | { readonly type: 'u32'; readonly value: number }
  | { readonly type: 'i32'; readonly value: number }
  | { readonly type: 'f32'; readonly value: number }
  | { readonly type: 'bool'; readonly value: boolean }
  | { readonly type: 'string'; readonly value: string }
  | { readonly type: 'strings'; readonly value: readonly string[] }
  | { readonly type: 'i32s'; readonly value: readonly number[] }
  | { readonly type: 'f32s'; readonly value: readonly number[] };

/** A tensor to write; `bytes` is called when its turn comes. */
export interface WrittenTensor {
  readonly name: string;
  readonly type: WrittenType;
  /** Outermost first. */
  readonly shape: readonly number[];
  readonly byteLength: number;
  bytes(): Promise<Uint8Array> | Uint8Array;
}

const valueTypes = { u32: 4, i32: 5, f32: 6, bool: 7, string: 8, array: 9 } as const;
const tensorTypes: Readonly<Record<WrittenType, number>> = { f32: 0, q4_0: 2, q4_1: 3, q8_0: 8 };
const alignment = 32;

/** Collects little-endian fields. */
class Fields {
  readonly #parts: Buffer[] = [];

  number(bytes: 4 | 8, value: number): this {
    const part = Buffer.alloc(bytes);
    if (bytes === 4) part.writeUInt32LE(value >>> 0);
    else part.writeBigUInt64LE(BigInt(value));
    this.#parts.push(part);
    return this;
  }

  float(value: number): this {
    const part = Buffer.alloc(4);
    part.writeFloatLE(value);
    this.#parts.push(part);
    return this;
  }

  byte(value: number): this {
    this.#parts.push(Buffer.of(value));
    return this;
  }

  string(value: string): this {
    const bytes = Buffer.from(value);
    this.number(8, bytes.length);
    this.#parts.push(bytes);
    return this;
  }

  list<T>(type: number, values: readonly T[], write: (value: T) => void): this {
    this.number(4, type).number(8, values.length);
    values.forEach(write);
    return this;
  }

  bytes(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

function writeMetadata(fields: Fields, entry: Metadata): void {
  switch (entry.type) {
    case 'u32':
    case 'i32':
      fields.number(4, valueTypes[entry.type]).number(4, entry.value);
      break;
    case 'f32':
      fields.number(4, valueTypes.f32).float(entry.value);
      break;
    case 'bool':
      fields.number(4, valueTypes.bool).byte(entry.value ? 1 : 0);
      break;
    case 'string':
      fields.number(4, valueTypes.string).string(entry.value);
      break;
    case 'strings':
      fields.number(4, valueTypes.array).list(valueTypes.string, entry.value, (value) => fields.string(value));
      break;
    case 'i32s':
      fields.number(4, valueTypes.array).list(valueTypes.i32, entry.value, (value) => fields.number(4, value));
      break;
    case 'f32s':
      fields.number(4, valueTypes.array).list(valueTypes.f32, entry.value, (value) => fields.float(value));
  }
}

/** Writes a GGUF v3 file. */
export async function writeGguf(
  path: string,
  metadata: ReadonlyMap<string, Metadata>,
  tensors: readonly WrittenTensor[],
): Promise<void> {
  const head = new Fields().number(4, 0x46554747).number(4, 3).number(8, tensors.length).number(8, metadata.size);
  for (const [key, entry] of metadata) {
    head.string(key);
    writeMetadata(head, entry);
  }
  const padded = (size: number) => Math.ceil(size / alignment) * alignment;
  let offset = 0;
  for (const { name, type, shape, byteLength } of tensors) {
    head.string(name).number(4, shape.length);
    for (const size of [...shape].reverse()) head.number(8, size);
    head.number(4, tensorTypes[type]).number(8, offset);
    offset += padded(byteLength);
  }
  const file = await open(path, 'w');
  try {
    const header = head.bytes();
    await file.write(header);
    await file.write(Buffer.alloc(padded(header.length) - header.length));
    for (const tensor of tensors) {
      await file.write(await tensor.bytes());
      await file.write(Buffer.alloc(padded(tensor.byteLength) - tensor.byteLength));
    }
  } finally {
    await file.close();
  }
}
