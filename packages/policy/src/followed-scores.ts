import type { Selection, Tensor } from '@kvsift/tensor';
import type { LayerView } from './contract.js';
import { gatherColumns } from './entries.js';
import { LayerTensors } from './layer-tensors.js';
import type { RunMemory } from './run-memory.js';
import { hasEvicted } from './saved-state.js';
import { filled } from './scores.js';

/** Accumulated scores of the stored entries of each layer, f32 [kvHeads, stored]; evicting never changes those of the survivors. */
export class FollowedScores {
  constructor(private readonly layers = new LayerTensors()) {}

  /** Scores of a layer, entries that came since the last call at 0. */
  read({ backend, layer, length, model }: LayerView): Tensor {
    const held = this.layers.get(layer);
    const known = held?.shape[1] ?? 0;
    if (held === undefined) return filled(backend, [model.kvHeads, length], 0);
    return known === length ? held : backend.concat([held, filled(backend, [model.kvHeads, length - known], 0)], 1);
  }

  /** Whether the scores count all entries of the layer. */
  complete({ layer, length }: LayerView): boolean {
    return this.layers.get(layer)?.shape[1] === length;
  }

  /** Keeps the scores of a layer, f32 [kvHeads, length], beyond the call. */
  write({ layer, keep }: LayerView, scores: Tensor): void {
    this.layers.set(layer, keep(scores));
  }

  /** Keeps the scores of the survivors only. */
  follow(view: LayerView, scores: Tensor, selection: Selection): void {
    this.write(view, gatherColumns(view, scores, selection));
  }

  get memory(): RunMemory {
    return this.layers.memory(
      (layer, { model, lengths }) => ({ dtype: 'f32', shape: [model.kvHeads, lengths[layer] ?? 0] }),
      (layer, standing) => hasEvicted(standing, layer),
    );
  }

  /** A second owner's state. */
  fork(): FollowedScores {
    return new FollowedScores(this.layers.fork());
  }

  /** Frees the scores of all layers. */
  dispose(): void {
    this.layers.dispose();
  }
}
