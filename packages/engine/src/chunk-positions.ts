import type { Backend, Tensor } from '@kvsift/tensor';

/** Positions of the rows of each chunk, i32, wherever a layer wants them. */
export class ChunkPositions implements Disposable {
  readonly #places = new Map<Backend, Map<number, Tensor[]>>();

  constructor(
    private readonly count: number,
    private readonly starts: readonly number[],
  ) {}

  /** @param first position of the first row */
  on(backend: Backend, first: number): readonly Tensor[] {
    const place = this.#places.get(backend) ?? new Map<number, Tensor[]>();
    this.#places.set(backend, place);
    const known = place.get(first);
    if (known !== undefined) return known;
    const made = this.starts.map((start, chunk) => {
      const rows = (this.starts[chunk + 1] ?? this.count) - start;
      return backend.upload(
        Int32Array.from({ length: rows }, (_, row) => first + start + row),
        'i32',
        [rows],
      );
    });
    place.set(first, made);
    return made;
  }

  [Symbol.dispose](): void {
    for (const tensor of [...this.#places.values()].flatMap((place) => [...place.values()].flat())) tensor.dispose();
  }
}
