import { createHash, webcrypto } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
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

/** Tells changed contents from those that were saved, computed beside the JavaScript thread. It proves nothing of who saved them. */
export async function digestOf(progress: string, content: ReadonlyMap<string, Content>): Promise<string> {
  const hash = createHash('sha256');
  hash.update(progress);
  for (const [name, { dtype, shape, data }] of [...content].sort(([a], [b]) => (a < b ? -1 : 1))) {
    hash.update(`\n${name} ${dtype} ${shape.join('x')}\n`);
    const bytes = new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
    hash.update(new Uint8Array(await webcrypto.subtle.digest('SHA-256', bytes)));
  }
  return hash.digest('hex');
}

/** Values that are looked at before other work has its turn: about a millisecond, and whole blocks of q8_0. */
const valuesAtOnce = 34 * 4096;

/** Where the first value is that is no number, or infinite; −1 where all are finite. */
export async function firstNotFinite({ dtype, data }: Content): Promise<number> {
  if (dtype === 'i32') return -1;
  for (let start = 0; start < data.length; start += valuesAtOnce) {
    const at = data.subarray(start, start + valuesAtOnce).findIndex(notFinite[dtype]);
    if (at >= 0) return start + at;
    await setImmediate();
  }
  return -1;
}

const notFinite: Readonly<Record<KvType, (value: number, at: number) => boolean>> = {
  f32: (value) => !Number.isFinite(value),
  f16: (bits) => (bits & 0x7c00) === 0x7c00,
  bf16: (bits) => (bits & 0x7f80) === 0x7f80,
  // Each block begins with its scale, an f16 in little endian.
  q8_0: (high, at) => at % 34 === 1 && (high & 0x7c) === 0x7c,
};

/** A shape with another number of columns. */
function scaled(shape: readonly number[], factor: number): number[] {
  return [...shape.slice(0, -1), Math.round((shape.at(-1) ?? 0) * factor)];
}
