import { type DType, type HostArray, KvsiftError, type Shape, type Tensor } from '@kvsift/tensor';
import type { TensorId } from './addon-types.js';

/** What a tensor needs of its backend. */
export interface TensorOwner {
  readonly alive: boolean;
  release(tensor: AddonTensor): void;
  read(tensor: AddonTensor): Promise<HostArray>;
}

/** Handle of a tensor of the addon. */
export class AddonTensor implements Tensor {
  #alive = true;

  constructor(
    readonly id: TensorId,
    readonly owner: TensorOwner,
    readonly dtype: DType,
    readonly shape: Shape,
  ) {}

  get alive(): boolean {
    return this.#alive && this.owner.alive;
  }

  async read(): Promise<HostArray> {
    if (!this.alive) throw new KvsiftError('disposed', 'read: the tensor was disposed', { op: 'read' });
    return this.owner.read(this);
  }

  dispose(): void {
    if (!this.#alive) return;
    this.#alive = false;
    this.owner.release(this);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Host array over bytes that came from the addon. */
export function hostView(dtype: DType, bytes: ArrayBuffer): HostArray {
  if (dtype === 'f32') return new Float32Array(bytes);
  if (dtype === 'i32') return new Int32Array(bytes);
  return dtype === 'f16' || dtype === 'bf16' ? new Uint16Array(bytes) : new Uint8Array(bytes);
}
