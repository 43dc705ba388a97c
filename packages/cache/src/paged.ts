import { type KvStorage, KvsiftError, type KvView, type Selection, type Tensor } from '@kvsift/tensor';
import { entryBytes, LayerBuffers } from './buffers.js';
import { growth } from './growth.js';
import type { LayerCache, LayerShape, Replacement } from './layer.js';

/**
 * Fixed-size blocks per head with a table. The host knows how many entries each head holds, so an eviction to ragged heads waits for the
 * counts once. Blocks that an eviction frees go back to the system with the pool they were in.
 */
export class PagedLayer implements LayerCache {
  #buffers: LayerBuffers;
  #table: Tensor;
  /** Block numbers per head. */
  #blocks: number[][];
  #lengths: number[];
  #nextBlock = 0;
  #appended = 0;
  #alive = true;
  #view: KvView;

  constructor(
    readonly storage: KvStorage,
    readonly shape: LayerShape,
    capacity: number,
    readonly blockSize = 16,
  ) {
    if (!Number.isInteger(blockSize) || blockSize < 1) {
      throw new KvsiftError('invalid_argument', `block size must be a positive integer, not ${blockSize}`);
    }
    this.#blocks = Array.from({ length: shape.kvHeads }, () => []);
    this.#lengths = new Array<number>(shape.kvHeads).fill(0);
    const perHead = this.#blocksFor(capacity);
    this.#buffers = this.#pool(shape.kvHeads * perHead);
    this.#assign(this.#lengths.map(() => perHead));
    this.#table = this.#uploadTable();
    this.#view = this.#describe();
  }

  get view(): KvView {
    if (!this.#alive) throw new KvsiftError('disposed', 'this cache layer was disposed');
    return this.#view;
  }

  get entries(): number {
    return this.#lengths.reduce((sum, length) => sum + length, 0);
  }

  get bytes(): number {
    return this.#alive ? this.#buffers.bytes : 0;
  }

  get entryBytes(): number {
    return this.entries * entryBytes(this.storage, this.shape);
  }

  get headRoom(): number {
    if (this.#buffers.shared) return 0;
    return Math.min(...this.#lengths.map((length, head) => (this.#blocks[head]?.length ?? 0) * this.blockSize - length));
  }

  get appended(): number {
    return this.#appended;
  }

  reserve(rows: number): KvView {
    const wanted = this.#lengths.map((length) => this.#blocksFor(length + rows));
    if (this.#buffers.shared) this.#move(this.#lengths.map((length) => this.#blocksFor(length + growth(length, rows))));
    const missing = wanted.reduce((sum, count, head) => sum + Math.max(0, count - (this.#blocks[head]?.length ?? 0)), 0);
    if (missing === 0) return this.view;
    if (this.#nextBlock + missing > this.#buffers.rows / this.blockSize) {
      this.#move(this.#lengths.map((length) => this.#blocksFor(length + growth(length, rows))));
    } else {
      this.#assign(wanted);
      this.#showTable();
    }
    return this.view;
  }

  advance(rows: number): void {
    this.#lengths = this.#lengths.map((length) => length + rows);
    this.#appended += rows;
    this.#view = this.#describe();
  }

  async compact(selection: Selection, replacement?: Replacement, goesOn = false): Promise<void> {
    const { backend } = this.storage;
    const counts =
      selection.perHead === undefined ? await readCounts(selection) : this.#lengths.map(() => selection.perHead ?? 0);
    if (goesOn && this.#fits(counts)) backend.kvCompact(this.view, selection);
    else
      this.#move(
        counts.map((count) => this.#blocksFor(count)),
        selection,
      );
    this.#lengths = counts;
    this.#appended = 0;
    this.#view = this.#describe();
    if (replacement?.keys) backend.kvReplace(this.view, 'keys', replacement.keys);
    if (replacement?.values) backend.kvReplace(this.view, 'values', replacement.values);
    if (replacement?.renumbered && this.#buffers.positions) backend.write(this.#buffers.positions, this.#slots());
  }

  /** Whether so many entries per head may stay in the pool that there is. */
  #fits(counts: readonly number[]): boolean {
    const most = counts.reduce((sum, count) => sum + this.#blocksFor(count + growth(count, 1)), 0);
    return !this.#buffers.shared && this.#buffers.rows <= most * this.blockSize;
  }

  fill(from: KvView, lengths: Int32Array): void {
    this.#move(
      Array.from(lengths, (length) => this.#blocksFor(length)),
      'all',
      from,
    );
    this.#lengths = Array.from(lengths);
    this.#appended = 0;
    this.#view = this.#describe();
  }

  rollback(rows: number): void {
    if (rows > this.#appended) {
      throw new KvsiftError(
        'invalid_argument',
        `cannot take back ${rows} tokens: ${this.#appended} were appended since the last eviction`,
      );
    }
    if (rows === 0) return;
    if (this.#buffers.shared) this.#move(this.#blocks.map((blocks) => blocks.length));
    this.#lengths = this.#lengths.map((length) => length - rows);
    this.#appended -= rows;
    this.storage.backend.write(this.#buffers.lengths, Int32Array.from(this.#lengths));
    this.#view = this.#describe();
  }

  fork(): PagedLayer {
    const twin = new PagedLayer(this.storage, this.shape, 0, this.blockSize);
    twin.#buffers.release();
    twin.#buffers = this.#buffers.share();
    twin.#blocks = this.#blocks.map((blocks) => [...blocks]);
    twin.#lengths = [...this.#lengths];
    twin.#nextBlock = this.#nextBlock;
    twin.#appended = this.#appended;
    twin.#showTable();
    return twin;
  }

  dispose(): void {
    if (!this.#alive) return;
    this.#alive = false;
    this.#table.dispose();
    this.#buffers.release();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #blocksFor(entries: number): number {
    return Math.ceil(entries / this.blockSize);
  }

  #pool(blocks: number): LayerBuffers {
    const starts = this.storage.backend.upload(new Int32Array(this.shape.kvHeads), 'i32', [this.shape.kvHeads]);
    return LayerBuffers.allocate(this.storage, this.shape, blocks * this.blockSize, starts);
  }

  /** Gives each head the next free blocks until it has `wanted`. */
  #assign(wanted: readonly number[]): void {
    this.#blocks.forEach((blocks, head) => {
      while (blocks.length < (wanted[head] ?? 0)) blocks.push(this.#nextBlock++);
    });
  }

  #uploadTable(): Tensor {
    const width = Math.max(1, ...this.#blocks.map((blocks) => blocks.length));
    const table = new Int32Array(this.shape.kvHeads * width);
    for (const [head, blocks] of this.#blocks.entries()) table.set(blocks, head * width);
    return this.storage.backend.upload(table, 'i32', [this.shape.kvHeads, width]);
  }

  /** Copies the selected entries to a pool of its own with that many blocks per head. */
  #move(blocksPerHead: readonly number[], selection: Selection | 'all' = 'all', from = this.view): void {
    const old = { buffers: this.#buffers, table: this.#table };
    this.#buffers = this.#pool(blocksPerHead.reduce((sum, count) => sum + count, 0));
    this.#blocks = blocksPerHead.map(() => []);
    this.#nextBlock = 0;
    this.#assign(blocksPerHead);
    this.#table = this.#uploadTable();
    this.storage.backend.kvGather(from, selection, this.#describe(0));
    old.buffers.release();
    old.table.dispose();
    this.#view = this.#describe();
  }

  /** The slot of every row of the pool: heads hold their blocks in order. */
  #slots(): Int32Array {
    const slots = new Int32Array(this.#buffers.rows);
    for (const blocks of this.#blocks) {
      for (const [at, block] of blocks.entries()) {
        for (let row = 0; row < this.blockSize; row++) slots[block * this.blockSize + row] = at * this.blockSize + row;
      }
    }
    return slots;
  }

  #showTable(): void {
    this.#table.dispose();
    this.#table = this.#uploadTable();
    this.#view = this.#describe();
  }

  #describe(length?: number): KvView {
    const maxLength = length ?? Math.max(...this.#lengths);
    const uniform = length !== undefined || this.#lengths.every((count) => count === maxLength);
    return this.#buffers.view(this.storage, this.shape, maxLength, uniform, { table: this.#table, size: this.blockSize });
  }
}

async function readCounts(selection: Selection): Promise<number[]> {
  const offsets = Array.from(await selection.offsets.read());
  return offsets.slice(1).map((end, head) => end - (offsets[head] ?? 0));
}
