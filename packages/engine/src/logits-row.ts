import type { Tensor } from '@kvsift/tensor';

/** Logits of one sequence, f32 [1, vocabulary]. Those of a batch are copied out of all only where somebody wants them on their own. */
export class LogitsRow {
  #made: Tensor | undefined;

  /** @param make copies them; called once, and only while what it copies from is there */
  constructor(private readonly make: () => Tensor) {}

  static of(tensor: Tensor): LogitsRow {
    const row = new LogitsRow(() => tensor);
    row.#made = tensor;
    return row;
  }

  get tensor(): Tensor {
    this.#made ??= this.make();
    return this.#made;
  }

  /** Frees the row where it was made. */
  dispose(): void {
    this.#made?.dispose();
  }
}
