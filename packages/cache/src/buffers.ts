import { byteLength, type KvStorage, type KvView, type Tensor } from '@kvsift/tensor';
import type { LayerShape } from './layer.js';

/** The tensors of one layer. Forks share them; the last owner releases them. */
export class LayerBuffers {
  #owners = 1;

  constructor(
    readonly keys: Tensor,
    readonly values: Tensor,
    readonly positions: Tensor | undefined,
    readonly starts: Tensor,
    readonly lengths: Tensor,
  ) {}

  /** Uninitialised rows with heads of length 0. `starts`: i32 [kvHeads], owned by the result. */
  static allocate(storage: KvStorage, shape: LayerShape, rows: number, starts: Tensor): LayerBuffers {
    const { backend, dtype } = storage;
    return new LayerBuffers(
      backend.empty(dtype, [rows, shape.headDim]),
      backend.empty(dtype, [rows, shape.headDim]),
      shape.positions ? backend.empty('i32', [rows]) : undefined,
      starts,
      backend.upload(new Int32Array(shape.kvHeads), 'i32', [shape.kvHeads]),
    );
  }

  get shared(): boolean {
    return this.#owners > 1;
  }

  get rows(): number {
    return this.keys.shape[0] ?? 0;
  }

  get bytes(): number {
    const positions = this.positions === undefined ? 0 : byteLength('i32', this.positions.shape);
    return byteLength(this.keys.dtype, this.keys.shape) + byteLength(this.values.dtype, this.values.shape) + positions;
  }

  view(storage: KvStorage, shape: LayerShape, maxLength: number, uniform: boolean, blocks?: KvView['blocks']): KvView {
    return {
      dtype: storage.dtype,
      kvHeads: shape.kvHeads,
      headDim: shape.headDim,
      keys: this.keys,
      values: this.values,
      starts: this.starts,
      lengths: this.lengths,
      ...(this.positions && { positions: this.positions }),
      ...(blocks && { blocks }),
      maxLength,
      uniform,
    };
  }

  share(): this {
    this.#owners += 1;
    return this;
  }

  release(): void {
    this.#owners -= 1;
    if (this.#owners > 0) return;
    for (const tensor of [this.keys, this.values, this.positions, this.starts, this.lengths]) tensor?.dispose();
  }
}

/** Bytes of one entry of one head. */
export function entryBytes(storage: Pick<KvStorage, 'dtype'>, shape: LayerShape): number {
  return 2 * byteLength(storage.dtype, [shape.headDim]) + (shape.positions ? 4 : 0);
}
