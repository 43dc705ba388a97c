import { type Backend, type KvStorage, KvsiftError } from '@kvsift/tensor';
import { ContiguousLayer } from './contiguous.js';
import type { LayerCache, LayerShape } from './layer.js';
import { PagedLayer } from './paged.js';

/** How a cache stores its entries. `dense` refuses ragged heads; `flattened` and `paged` take them. */
export type LayoutKind = (typeof layoutKinds)[number];
/** How entries may lie in memory; attention is the same to the bit in all. */
export const layoutKinds = ['dense', 'flattened', 'paged'] as const;

/** Storage, layout and shapes of a cache, fixed for its life. */
export interface CacheOptions {
  readonly storage: KvStorage;
  readonly layout: LayoutKind;
  /** One entry per layer. */
  readonly layers: readonly LayerShape[];
  /** Where each layer lies, on a backend that is spread over devices. Default: where the storage is. */
  readonly places?: readonly Backend[];
  /** Rows per block of a paged layout. Default 16. */
  readonly blockSize?: number;
}

/** What a cache holds, in numbers. */
export interface CacheStatistics {
  /** Bytes allocated for keys, values and positions, head-room included. */
  readonly bytes: number;
  /** Bytes that the entries need without head-room. */
  readonly entryBytes: number;
  /** Entries over all layers and heads. */
  readonly entries: number;
  /** Tokens seen, evicted ones included: the position of the next token unless the policy renumbers. */
  readonly seen: number;
}

/** Keys and values of one sequence, layer by layer. One owner; `fork` makes another. */
export class KvCache implements Disposable {
  readonly #layers: (LayerCache | undefined)[];
  /** Tokens that went through the model, evicted ones included. */
  seen = 0;
  /** Position of the next token; behind the longest layer where entries are `numberedAnew`. */
  nextPosition = 0;
  /** Each layer's entries have the positions 0, 1, 2 … (re-rotation), not those of the text. */
  numberedAnew = false;

  constructor(readonly options: CacheOptions) {
    this.#layers = options.layers.map(() => undefined);
  }

  get layerCount(): number {
    return this.#layers.length;
  }

  /** Entries of the longest head of all layers. */
  get longest(): number {
    return Math.max(...this.#layers.map((layer) => layer?.view.maxLength ?? 0));
  }

  /** Position of the next token in one layer. */
  positionIn(index: number): number {
    return this.numberedAnew ? (this.#layers[index]?.view.maxLength ?? 0) : this.nextPosition;
  }

  /** Counts tokens that every layer has been given. */
  advance(tokens: number): void {
    this.seen += tokens;
    this.nextPosition = this.numberedAnew ? this.longest : this.nextPosition + tokens;
  }

  /** Type and place of a layer's entries. */
  storageOf(index: number): KvStorage {
    const { storage, places } = this.options;
    const backend = places?.[index];
    return backend === undefined ? storage : { ...storage, backend };
  }

  /** The layer's storage; made with room for `capacity` entries per head where it does not exist yet. */
  layer(index: number, capacity = 0): LayerCache {
    const present = this.#layers[index];
    if (present !== undefined) return present;
    const shape = this.options.layers[index];
    if (shape === undefined)
      throw new KvsiftError('invalid_argument', `layer ${index} of a cache with ${this.#layers.length} layers`);
    const { layout, blockSize } = this.options;
    const storage = this.storageOf(index);
    const made =
      layout === 'paged'
        ? new PagedLayer(storage, shape, capacity, blockSize)
        : new ContiguousLayer(layout, storage, shape, capacity);
    this.#layers[index] = made;
    return made;
  }

  /** Takes over a layer of another cache of the same options, as `LayerCache.fork` makes it. */
  adopt(index: number, layer: LayerCache): void {
    this.#layers[index]?.dispose();
    this.#layers[index] = layer;
  }

  /** What all layers hold together. */
  statistics(): CacheStatistics {
    const total = { bytes: 0, entryBytes: 0, entries: 0, seen: this.seen };
    for (const layer of this.#layers) {
      total.bytes += layer?.bytes ?? 0;
      total.entryBytes += layer?.entryBytes ?? 0;
      total.entries += layer?.entries ?? 0;
    }
    return total;
  }

  /** A second cache with the same contents; memory is shared until one of them changes. */
  fork(): KvCache {
    const twin = new KvCache(this.options);
    this.#layers.forEach((layer, index) => {
      twin.#layers[index] = layer?.fork();
    });
    twin.seen = this.seen;
    twin.nextPosition = this.nextPosition;
    twin.numberedAnew = this.numberedAnew;
    return twin;
  }

  /** Takes back the last `tokens` tokens, a whole number. @throws KvsiftError `invalid_argument` where an eviction lies in between */
  rollback(tokens: number): void {
    if (!Number.isInteger(tokens) || tokens < 0)
      throw new KvsiftError('invalid_argument', `expected a whole number of tokens to take back, at least 0, got ${tokens}`);
    const most = Math.min(...this.#layers.map((layer) => layer?.appended ?? 0));
    if (tokens > most) {
      throw new KvsiftError(
        'invalid_argument',
        `cannot take back ${tokens} tokens: ${most} were appended since the last eviction`,
      );
    }
    for (const layer of this.#layers) layer?.rollback(tokens);
    this.seen -= tokens;
    this.nextPosition -= tokens;
  }

  /** Frees all layers; those of forks stay. */
  dispose(): void {
    this.#layers.forEach((layer, index) => {
      layer?.dispose();
      this.#layers[index] = undefined;
    });
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
