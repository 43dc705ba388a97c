import type { KvView, Selection, Tensor } from '@kvsift/tensor';

/** What changes in the survivors; uniform selections only. */
export interface Replacement {
  /** New keys and values, f32 [kvHeads, kept, headDim] each. */
  readonly keys?: Tensor;
  readonly values?: Tensor;
  /** Positions become 0, 1, 2 … where they are kept. */
  readonly renumbered?: boolean;
}

/** Key/value storage of one layer of one sequence. */
export interface LayerCache extends Disposable {
  /** What attention reads now. A new object after every change. */
  readonly view: KvView;
  /** Entries over all heads. */
  readonly entries: number;
  /** Bytes of keys, values and positions as allocated, head-room included. */
  readonly bytes: number;
  /** Bytes that the entries themselves need: what an exact allocation takes. */
  readonly entryBytes: number;
  /** Entries per head that were appended since the last eviction: what `rollback` can take back. */
  readonly appended: number;
  /** Entries that every head can take before memory moves. */
  readonly headRoom: number;
  /** Makes room for `rows` more entries per head, growing geometrically; returns the view to append to. */
  reserve(rows: number): KvView;
  /** Tells that `rows` entries per head were appended to the view that `reserve` returned. */
  advance(rows: number): void;
  /**
   * Keeps the selected entries and releases the memory of the others.
   * @param goesOn more entries are about to come: those that stay may do so where they lie, if that is no more memory than appending would take
   * @throws KvsiftError `policy_violation` where the layout cannot hold the selection
   */
  compact(selection: Selection, replacement?: Replacement, goesOn?: boolean): Promise<void>;
  /** Fills an empty layer with all entries of another view; `lengths` are those of its heads. */
  fill(from: KvView, lengths: Int32Array): void;
  /** Drops the last `rows` entries of every head. @throws KvsiftError `invalid_argument` where fewer were appended since the last eviction */
  rollback(rows: number): void;
  /** A second owner of the same memory; whoever changes it first copies. */
  fork(): LayerCache;
  /** Gives up this owner’s part; the memory goes with its last owner. Twice is as once. */
  dispose(): void;
}

/** What the layers of a cache have in common. */
export interface LayerShape {
  readonly kvHeads: number;
  readonly headDim: number;
  /** Entries remember their original position (needed with sliding windows, and to show what was kept). */
  readonly positions: boolean;
}
