import type { Backend, Tensor } from '@kvsift/tensor';

/** Positions of the rows of each chunk, i32, wherever a layer wants them. */
export class ChunkPositions implements Disposable {
  readonly #places = new Map<Backend, Tensor[]>();

  constructor(
    private readonly first: number,
    private readonly count: number,
    private readonly starts: readonly number[],
  ) {}

  on(backend: Backend): readonly Tensor[] {
    const known = this.#places.get(backend);
    if (known !== undefined) return known;
    const made = this.starts.map((start, chunk) => {
      const rows = (this.starts[chunk + 1] ?? this.count) - start;
      return backend.upload(
        Int32Array.from({ length: rows }, (_, row) => this.first + start + row),
        'i32',
        [rows],
      );
    });
    this.#places.set(backend, made);
    return made;
  }

  [Symbol.dispose](): void {
    for (const tensor of [...this.#places.values()].flat()) tensor.dispose();
  }
}
