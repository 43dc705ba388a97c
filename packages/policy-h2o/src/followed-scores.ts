import { filled, gatherColumns, type LayerView } from '@kvsift/policy';
import type { Selection, Tensor } from '@kvsift/tensor';

/** A tensor that the runs of forked sequences share: it is never written to, the last owner releases it. */
interface Shared {
  readonly tensor: Tensor;
  owners: number;
}

/** Accumulated scores of the stored entries of each layer, f32 [kvHeads, stored]; evicting never changes those of the survivors. */
export class FollowedScores {
  readonly #layers: Map<number, Shared>;

  constructor(layers: ReadonlyMap<number, Shared> = new Map()) {
    this.#layers = new Map(layers);
    for (const shared of this.#layers.values()) shared.owners++;
  }

  /** Scores of a layer, entries that came since the last call at 0. */
  read({ backend, layer, length, model }: LayerView): Tensor {
    const held = this.#layers.get(layer)?.tensor;
    const known = held?.shape[1] ?? 0;
    if (held === undefined) return filled(backend, [model.kvHeads, length], 0);
    return known === length ? held : backend.concat([held, filled(backend, [model.kvHeads, length - known], 0)], 1);
  }

  /** Whether the scores count all entries of the layer. */
  complete({ layer, length }: LayerView): boolean {
    return this.#layers.get(layer)?.tensor.shape[1] === length;
  }

  write({ layer, keep }: LayerView, scores: Tensor): void {
    this.#release(layer);
    this.#layers.set(layer, { tensor: keep(scores), owners: 1 });
  }

  /** Keeps the scores of the survivors only. */
  follow(view: LayerView, scores: Tensor, selection: Selection): void {
    this.write(view, gatherColumns(view, scores, selection));
  }

  /** A second owner's state. */
  fork(): FollowedScores {
    return new FollowedScores(this.#layers);
  }

  dispose(): void {
    for (const layer of [...this.#layers.keys()]) this.#release(layer);
  }

  #release(layer: number): void {
    const shared = this.#layers.get(layer);
    this.#layers.delete(layer);
    if (shared !== undefined && --shared.owners === 0) shared.tensor.dispose();
  }
}
