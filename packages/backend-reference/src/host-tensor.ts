import { type DType, elementCount, type HostArray, isBlockType, KvsiftError, type Shape, type Tensor } from '@kvsift/tensor';
import type { MemoryCount } from './memory.js';

/** Memory that one or more tensors show under their shapes. */
export class Storage {
  #owners = 0;

  constructor(
    readonly data: HostArray,
    private readonly memory: MemoryCount,
    private readonly weight: boolean,
    /** Why the numbers do not exist; ops pass it on. */
    readonly failure?: KvsiftError,
  ) {}

  take(): this {
    if (this.#owners === 0) this.memory.add(this.data.byteLength, this.weight);
    this.#owners += 1;
    return this;
  }

  release(): void {
    this.#owners -= 1;
    if (this.#owners === 0) this.memory.remove(this.data.byteLength, this.weight);
  }
}

/** A tensor in an array of this process. */
export class HostTensor implements Tensor {
  #alive = true;
  readonly storage: Storage;

  constructor(
    readonly dtype: DType,
    readonly shape: Shape,
    storage: Storage,
  ) {
    this.storage = storage.take();
  }

  get alive(): boolean {
    return this.#alive;
  }

  async read(): Promise<HostArray> {
    if (!this.#alive) throw new KvsiftError('disposed', 'read: the tensor was disposed', { op: 'read' });
    if (this.storage.failure) throw this.storage.failure;
    return this.storage.data.slice();
  }

  dispose(): void {
    if (!this.#alive) return;
    this.#alive = false;
    this.storage.release();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** An array that holds a shape of a dtype. */
export function hostArray(dtype: DType, shape: Shape): HostArray {
  const count = elementCount(shape);
  if (isBlockType(dtype) || dtype === 'u8') return new Uint8Array(count);
  if (dtype === 'i32') return new Int32Array(count);
  return dtype === 'f32' ? new Float32Array(count) : new Uint16Array(count);
}

/** The array of a tensor of this backend. @throws KvsiftError `invalid_argument` for a tensor of another one */
export function storageOf(x: Tensor): Storage {
  if (x instanceof HostTensor) return x.storage;
  throw new KvsiftError('invalid_argument', 'this tensor belongs to another backend');
}

export function floats(x: Tensor): Float32Array {
  const { data } = storageOf(x);
  if (data instanceof Float32Array) return data;
  throw new KvsiftError('dtype_mismatch', `expected f32, not ${x.dtype}`);
}

export function integers(x: Tensor): Int32Array {
  const { data } = storageOf(x);
  if (data instanceof Int32Array) return data;
  throw new KvsiftError('dtype_mismatch', `expected i32, not ${x.dtype}`);
}
