import {
  byteLength,
  type DType,
  elementCount,
  type HostArray,
  isBlockType,
  KvsiftError,
  type Shape,
  type Tensor,
} from '@kvsift/tensor';
import type { MemoryCount } from './memory.js';

/** Memory that handles and recorded programs own together. */
export class Storage {
  #owners = 0;
  /** Why the numbers do not exist; ops pass it on. */
  failure: KvsiftError | undefined;

  constructor(
    public data: HostArray,
    readonly memory: MemoryCount,
    private readonly weight: boolean,
  ) {}

  take(): this {
    if (this.#owners === 0) this.memory.add(this.data.byteLength, this.weight);
    this.#owners += 1;
    return this;
  }

  release(): void {
    this.#owners -= 1;
    if (this.#owners > 0) return;
    this.memory.remove(this.data.byteLength, this.weight);
    this.data = new Uint8Array(0);
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
    private readonly forgotten: FinalizationRegistry<Storage>,
  ) {
    this.storage = storage.take();
    forgotten.register(this, storage, this);
  }

  get alive(): boolean {
    return this.#alive && this.storage.memory.open;
  }

  async read(): Promise<HostArray> {
    if (!this.alive) throw new KvsiftError('disposed', 'read: the tensor was disposed', { op: 'read' });
    if (this.storage.failure) throw this.storage.failure;
    return this.storage.data.slice();
  }

  dispose(): void {
    if (!this.#alive) return;
    this.#alive = false;
    this.forgotten.unregister(this);
    this.storage.release();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** An array that holds a shape of a dtype. */
export function hostArray(dtype: DType, shape: Shape): HostArray {
  if (isBlockType(dtype)) return new Uint8Array(byteLength(dtype, shape));
  const count = elementCount(shape);
  if (dtype === 'u8') return new Uint8Array(count);
  if (dtype === 'i32') return new Int32Array(count);
  return dtype === 'f32' ? new Float32Array(count) : new Uint16Array(count);
}

/** The memory of a tensor of this process. @throws KvsiftError `invalid_argument` for a tensor of another backend */
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
