import { KvsiftError, type StoredTensor } from '@kvsift/tensor';
import { type FileFacts, readInto, withFile } from './files/regular-file.js';
import { toFloat32 } from './float32.js';

/** A GGUF value: 64-bit integers are numbers where they are exact as such. Safetensors metadata are strings only. */
export type MetadataValue = number | bigint | boolean | string | readonly MetadataValue[];

/** What a reader found in the headers of one model. */
export interface WeightContents {
  readonly format: 'gguf' | 'safetensors';
  readonly files: readonly FileFacts[];
  /** GGUF key/values; `__metadata__` of safetensors. */
  readonly metadata: ReadonlyMap<string, MetadataValue>;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** Well-formed tensors of element types that kvsift does not compute with: name → type as the file calls it. */
  readonly unsupported: ReadonlyMap<string, string>;
}

/** The tensors of a model file or folder. Holds no file open and no tensor bytes. */
export interface WeightFile extends WeightContents {
  /**
   * The tensor of that name.
   * @throws KvsiftError `file_malformed` where there is none, `unsupported` where its element type is
   */
  tensor(name: string): StoredTensor;
  /** Copies the bytes of a tensor (all rows, in file order) into memory. @throws KvsiftError `file_malformed` where the file shrank */
  readBytes(tensor: StoredTensor): Promise<Uint8Array>;
  /** Copies the values of a tensor into memory as f32, row-major, `rowOrder` applied. Exact for f16, bf16 and all block formats. */
  readFloat32(tensor: StoredTensor): Promise<Float32Array>;
}

/** Adds the ways to read to what a reader found. */
export function weightFile(contents: WeightContents): WeightFile {
  const readBytes = (tensor: StoredTensor): Promise<Uint8Array> =>
    withFile(tensor.path, async (handle) => {
      const bytes = new Uint8Array(tensor.byteLength);
      await readInto(handle, tensor.path, bytes, tensor.byteOffset);
      return bytes;
    });
  return {
    ...contents,
    readBytes,
    readFloat32: async (tensor) => toFloat32(tensor, await readBytes(tensor)),
    tensor(name) {
      const found = contents.tensors.get(name);
      if (found) return found;
      const path = contents.files[0]?.path ?? 'the model';
      const type = contents.unsupported.get(name);
      if (type !== undefined) {
        throw new KvsiftError(
          'unsupported',
          `${path}: tensor "${name}" has element type ${type}, which kvsift cannot compute with`,
          {
            path,
            tensor: name,
            type,
          },
        );
      }
      const missing = `${path}: expected a tensor "${name}" among its ${contents.tensors.size}, found none`;
      throw new KvsiftError('file_malformed', missing, { path, tensor: name });
    },
  };
}
