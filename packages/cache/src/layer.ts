import type { KvView, Selection, Tensor } from '@kvsift/tensor';

/** Key/value storage of one layer of one sequence. */
export interface LayerCache extends Disposable {
  /** What attention reads now. A new object after every change. */
  readonly view: KvView;
  /** Bytes of keys, values, positions and block tables as allocated. */
  readonly bytes: number;
  /** Bytes that the entries themselves need: what an exact allocation would take. */
  readonly entryBytes: number;
  /** Entries over all heads. */
  readonly entries: number;
  /** Makes room for `rows` more entries per head, growing geometrically; returns the view to append to. */
  reserve(rows: number): KvView;
  /** Tells that `rows` entries per head were appended to the view that `reserve` returned. */
  advance(rows: number): void;
  /** Keeps the selected entries and releases the memory of the others. New keys and values replace those of the survivors. */
  compact(selection: Selection, replacement?: { readonly keys?: Tensor; readonly values?: Tensor }): void | Promise<void>;
  /** Drops the last `rows` entries of every head. @throws `invalid_argument` where fewer are there */
  rollback(rows: number): void;
  /** A second owner of the same memory; whoever appends first copies. */
  fork(): LayerCache;
  dispose(): void;
}

/** What all layers of a cache have in common. */
export interface LayerShape {
  readonly kvHeads: number;
  readonly headDim: number;
  /** Entries remember their original position (needed with sliding windows). */
  readonly positions: boolean;
}
