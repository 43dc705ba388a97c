import { type KvStorage, KvsiftError, type KvView, type Selection } from '@kvsift/tensor';
import { entryBytes, LayerBuffers } from './buffers.js';
import { growth } from './growth.js';
import type { LayerCache, LayerShape, Replacement } from './layer.js';

/**
 * Heads back to back, each followed by its head-room: appending is O(1) and copies nothing until the head-room of all heads is used up; then
 * it grows geometrically. `dense` insists on equal lengths, `flattened` takes ragged heads.
 */
export class ContiguousLayer implements LayerCache {
  #buffers: LayerBuffers;
  #view: KvView;
  #entries = 0;
  #headRoom: number;
  #appended = 0;
  #alive = true;

  constructor(
    readonly kind: 'dense' | 'flattened',
    readonly storage: KvStorage,
    readonly shape: LayerShape,
    capacity: number,
  ) {
    this.#buffers = LayerBuffers.allocate(storage, shape, shape.kvHeads * capacity, this.#evenStarts(capacity));
    this.#headRoom = capacity;
    this.#view = this.#buffers.view(storage, shape, 0, true);
  }

  get view(): KvView {
    if (!this.#alive) throw new KvsiftError('disposed', 'this cache layer was disposed');
    return this.#view;
  }

  get entries(): number {
    return this.#entries;
  }

  get bytes(): number {
    return this.#alive ? this.#buffers.bytes : 0;
  }

  get entryBytes(): number {
    return this.#entries * entryBytes(this.storage, this.shape);
  }

  get headRoom(): number {
    return this.#buffers.shared ? 0 : this.#headRoom;
  }

  get appended(): number {
    return this.#appended;
  }

  reserve(rows: number): KvView {
    if (rows > this.#headRoom || this.#buffers.shared) this.#regrow(growth(this.view.maxLength, rows));
    return this.view;
  }

  advance(rows: number): void {
    this.#headRoom -= rows;
    this.#appended += rows;
    this.#entries += rows * this.shape.kvHeads;
    this.#show(this.view.maxLength + rows, this.view.uniform);
  }

  async compact(selection: Selection, replacement?: Replacement, goesOn = false): Promise<void> {
    if (selection.perHead === undefined && this.kind === 'dense') {
      throw new KvsiftError(
        'policy_violation',
        'a dense cache keeps equally many entries per head; this selection is ragged: use the flattened or paged layout',
      );
    }
    const { backend } = this.storage;
    const { kvHeads } = this.shape;
    if (goesOn && replacement?.renumbered !== true && this.#fits(selection)) {
      backend.kvCompact(this.view, selection);
      const { uniform, maxLength } = this.view;
      // What ragged heads lost differs; every head has at least the room that it had.
      if (uniform && selection.perHead !== undefined) this.#headRoom += maxLength - selection.perHead;
      return this.#shrunk(selection, replacement);
    }
    const starts =
      selection.perHead === undefined ? backend.slice(selection.offsets, 0, 0, kvHeads) : this.#evenStarts(selection.perHead);
    const target = LayerBuffers.allocate(this.storage, this.shape, selection.total, starts);
    backend.kvGather(this.view, selection, target.view(this.storage, this.shape, 0, true));
    this.#replace(target);
    this.#headRoom = 0;
    this.#shrunk(selection, replacement);
    if (replacement?.renumbered && target.positions) {
      backend.write(
        target.positions,
        Int32Array.from({ length: selection.total }, (_, row) => row % selection.maxPerHead),
      );
    }
  }

  /** Whether these entries may stay in the memory that there is. */
  #fits({ total, maxPerHead }: Selection): boolean {
    const most = total + this.shape.kvHeads * growth(maxPerHead, 1);
    return !this.#buffers.shared && this.#buffers.rows <= most;
  }

  #shrunk({ total, maxPerHead, perHead }: Selection, replacement: Replacement | undefined): void {
    const { backend } = this.storage;
    this.#entries = total;
    this.#appended = 0;
    this.#show(maxPerHead, perHead !== undefined);
    if (replacement?.keys) backend.kvReplace(this.view, 'keys', replacement.keys);
    if (replacement?.values) backend.kvReplace(this.view, 'values', replacement.values);
  }

  fill(from: KvView, lengths: Int32Array): void {
    const { backend } = this.storage;
    const uniform = lengths.every((length) => length === lengths[0]);
    if (!uniform && this.kind === 'dense')
      throw new KvsiftError('policy_violation', 'a dense cache cannot hold ragged heads: use the flattened or paged layout');
    let total = 0;
    const starts = lengths.map((length) => {
      total += length;
      return total - length;
    });
    const target = LayerBuffers.allocate(this.storage, this.shape, total, backend.upload(starts, 'i32', [lengths.length]));
    backend.kvGather(from, 'all', target.view(this.storage, this.shape, 0, true));
    this.#replace(target);
    this.#entries = total;
    this.#headRoom = 0;
    this.#appended = 0;
    this.#show(Math.max(...lengths), uniform);
  }

  rollback(rows: number): void {
    if (rows > this.#appended) {
      throw new KvsiftError(
        'invalid_argument',
        `cannot take back ${rows} tokens: ${this.#appended} were appended since the last eviction`,
      );
    }
    if (rows === 0) return;
    const { backend } = this.storage;
    if (this.#buffers.shared) this.#regrow(0);
    using lengths = backend.toFloat(this.#buffers.lengths);
    using shorter = backend.zip(lengths, rows, 'sub');
    const target = backend.toInt(shorter);
    const { keys, values, positions, starts } = this.#buffers;
    this.#buffers.lengths.dispose();
    this.#buffers = new LayerBuffers(keys, values, positions, starts, target);
    this.#headRoom += rows;
    this.#appended -= rows;
    this.#entries -= rows * this.shape.kvHeads;
    this.#show(this.view.maxLength - rows, this.view.uniform);
  }

  fork(): ContiguousLayer {
    const twin = new ContiguousLayer(this.kind, this.storage, this.shape, 0);
    twin.#replace(this.#buffers.share());
    twin.#entries = this.#entries;
    twin.#headRoom = this.#headRoom;
    twin.#appended = this.#appended;
    twin.#show(this.view.maxLength, this.view.uniform);
    return twin;
  }

  dispose(): void {
    if (!this.#alive) return;
    this.#alive = false;
    this.#buffers.release();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #evenStarts(capacity: number) {
    const { kvHeads } = this.shape;
    return this.storage.backend.upload(
      Int32Array.from({ length: kvHeads }, (_, head) => head * capacity),
      'i32',
      [kvHeads],
    );
  }

  /** Moves every entry to new memory with `headRoom` free rows behind each head. */
  #regrow(headRoom: number): void {
    const { backend } = this.storage;
    const { kvHeads } = this.shape;
    const { uniform, maxLength } = this.view;
    const starts = uniform ? this.#evenStarts(maxLength + headRoom) : this.#raggedStarts(headRoom);
    const target = LayerBuffers.allocate(this.storage, this.shape, this.#entries + kvHeads * headRoom, starts);
    backend.kvGather(this.view, 'all', target.view(this.storage, this.shape, 0, true));
    this.#replace(target);
    this.#headRoom = headRoom;
    this.#show(maxLength, uniform);
  }

  /** Exclusive running sum of length + head-room, computed where the lengths are. */
  #raggedStarts(headRoom: number) {
    const { backend } = this.storage;
    using lengths = backend.toFloat(this.#buffers.lengths);
    using padded = backend.zip(lengths, headRoom, 'add');
    using ends = backend.cumsum(padded);
    using starts = backend.zip(ends, padded, 'sub');
    return backend.toInt(starts);
  }

  #replace(buffers: LayerBuffers): void {
    this.#buffers.release();
    this.#buffers = buffers;
  }

  #show(maxLength: number, uniform: boolean): void {
    this.#view = this.#buffers.view(this.storage, this.shape, maxLength, uniform);
  }
}
