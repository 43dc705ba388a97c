import { createHash } from 'node:crypto';
import { blockLayout, type HostArray, type KvType } from '@kvsift/tensor';
import type { TensorToWrite } from '@kvsift/weights';

/** What a session file holds. Rows of `q8_0` are bytes to the format, which has no blocks: the only bytes there are. */
export type FileType = KvType | 'i32';

const typeNames: Readonly<Record<FileType, TensorToWrite['dtype']>> = {
  f32: 'F32',
  f16: 'F16',
  bf16: 'BF16',
  i32: 'I32',
  q8_0: 'U8',
};

/** A tensor of a session on the host. */
export interface Content {
  readonly dtype: FileType;
  readonly shape: readonly number[];
  readonly data: HostArray;
}

export function isFileType(type: string): type is FileType {
  return type in typeNames;
}

/** A tensor as the format knows it. */
export function toFile({ dtype, shape, data }: Content): Omit<TensorToWrite, 'name'> {
  return { dtype: typeNames[dtype], shape: dtype === 'q8_0' ? scaled(shape, 34 / 32) : shape, data };
}

/** A tensor as it was before `toFile`; undefined for a type that no session has. */
export function fromFile(type: string, shape: readonly number[], { buffer }: Uint8Array): Content | undefined {
  const dtype = type === 'u8' ? 'q8_0' : type;
  if (!isFileType(dtype)) return undefined;
  if (dtype === 'q8_0') return { dtype, shape: scaled(shape, 32 / 34), data: new Uint8Array(buffer) };
  if (dtype === 'i32') return { dtype, shape, data: new Int32Array(buffer) };
  return { dtype, shape, data: blockLayout(dtype).bytes === 4 ? new Float32Array(buffer) : new Uint16Array(buffer) };
}

/** Tells changed contents from those that were saved. It proves nothing of who saved them. */
export function digestOf(progress: string, content: ReadonlyMap<string, Content>): string {
  const hash = createHash('sha256');
  hash.update(progress);
  for (const [name, { dtype, shape, data }] of [...content].sort(([a], [b]) => (a < b ? -1 : 1))) {
    hash.update(`\n${name} ${dtype} ${shape.join('x')}\n`);
    hash.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  return hash.digest('hex');
}

/** Where the first value is that is no number, or infinite; −1 where all are finite. */
export function firstNotFinite({ dtype, data }: Content): number {
  switch (dtype) {
    case 'i32':
      return -1;
    case 'f32':
      return data.findIndex((value) => !Number.isFinite(value));
    case 'f16':
      return data.findIndex((bits) => (bits & 0x7c00) === 0x7c00);
    case 'bf16':
      return data.findIndex((bits) => (bits & 0x7f80) === 0x7f80);
    case 'q8_0':
      // Each block begins with its scale, an f16 in little endian.
      return data.findIndex((high, at) => at % 34 === 1 && (high & 0x7c) === 0x7c);
  }
}

/** A shape with another number of columns. */
function scaled(shape: readonly number[], factor: number): number[] {
  return [...shape.slice(0, -1), Math.round((shape.at(-1) ?? 0) * factor)];
}
