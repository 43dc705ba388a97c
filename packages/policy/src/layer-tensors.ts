import { byteLength, type Tensor } from '@kvsift/tensor';
import type { RunMemory, Storage } from './run-memory.js';
import { demandTensor, type ExpectedTensor, layersNamed, refuseOthers, type Standing } from './saved-state.js';

/** A tensor that forked runs share: nobody writes to it, the last owner releases it. */
interface Shared {
  readonly tensor: Tensor;
  owners: number;
}

/** One tensor per layer that a run keeps between calls, with owners counted across forks. */
export class LayerTensors implements Disposable {
  readonly #layers = new Map<number, Shared>();

  /** Tensor of a layer, owned by this. */
  get(layer: number): Tensor | undefined {
    return this.#layers.get(layer)?.tensor;
  }

  /** Takes ownership of the tensor (pass it through `view.keep` first) and releases the one before. */
  set(layer: number, tensor: Tensor): void {
    this.#release(layer);
    this.#layers.set(layer, { tensor, owners: 1 });
  }

  /** Bytes of all layers' tensors. */
  get bytes(): number {
    return [...this.#layers.values()].reduce((sum, { tensor }) => sum + byteLength(tensor.dtype, tensor.shape), 0);
  }

  /**
   * How these tensors get into a session file.
   * @param expected what a layer's tensor must be
   * @param isNeeded whether a layer must have one
   */
  memory(
    expected: (layer: number, standing: Standing) => ExpectedTensor,
    isNeeded: (layer: number, standing: Standing) => boolean,
  ): RunMemory {
    return {
      ...this.storage,
      check(state, standing) {
        refuseOthers(state, (name) => name in state.tensors);
        layersNamed(state.tensors, standing);
        for (let layer = 0; layer < standing.model.layers; layer++) {
          if (`${layer}` in state.tensors || isNeeded(layer, standing))
            demandTensor(state, String(layer), expected(layer, standing));
        }
      },
    };
  }

  /** `memory` without its check, for who checks these tensors together with others. */
  get storage(): Storage {
    return {
      save: () => ({ numbers: {}, tensors: Object.fromEntries([...this.#layers].map(([layer, { tensor }]) => [layer, tensor])) }),
      restore: ({ tensors }) => {
        for (const [layer, tensor] of Object.entries(tensors)) this.set(Number(layer), tensor);
      },
    };
  }

  /** A second owner of the same tensors. */
  fork(): LayerTensors {
    const twin = new LayerTensors();
    for (const [layer, shared] of this.#layers) {
      shared.owners++;
      twin.#layers.set(layer, shared);
    }
    return twin;
  }

  /** Gives up all tensors; those that a fork holds too stay. */
  dispose(): void {
    for (const layer of [...this.#layers.keys()]) this.#release(layer);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #release(layer: number): void {
    const shared = this.#layers.get(layer);
    this.#layers.delete(layer);
    if (shared !== undefined && --shared.owners === 0) shared.tensor.dispose();
  }
}
