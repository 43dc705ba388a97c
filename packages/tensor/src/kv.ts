import type { KvType } from './dtype.js';
import type { Tensor } from './tensor.js';

/**
 * Keys and values of one layer of one sequence, as the attention ops read them. Head-major: entry `slot` of KV head `g` is row
 * `starts[g] + slot` of `keys` and `values`, or, in a paged layout, row `table[g][slot / size] * size + slot % size`.
 * Entries of a head are in ascending position. Dense, flattened and paged layouts differ only in these numbers.
 */
export interface KvView {
  readonly dtype: KvType;
  readonly kvHeads: number;
  readonly headDim: number;
  /** [rows, headDim] */
  readonly keys: Tensor;
  /** [rows, headDim] */
  readonly values: Tensor;
  /** i32 [kvHeads]: entries of each head; `kvAppend` and `kvGather` update it on the device. */
  readonly lengths: Tensor;
  /** i32 [kvHeads]: first row of each head. Ignored where `blocks` is present. */
  readonly starts: Tensor;
  /** i32 [rows]: original position of each entry. Present where a model has sliding windows or a caller asked to keep positions. */
  readonly positions?: Tensor;
  /** Paged layout: i32 table [kvHeads, blocks per head] of block numbers, and rows per block. */
  readonly blocks?: { readonly table: Tensor; readonly size: number };
  /** Upper bound of all lengths that the host knows; exact where `uniform`. */
  readonly maxLength: number;
  /** True where every head holds exactly `maxLength` entries. */
  readonly uniform: boolean;
}

/** Survivors of one layer, on the device. */
export interface Selection {
  /** i32 [total]: kept slots, ascending per head, heads back to back. */
  readonly indices: Tensor;
  /** i32 [kvHeads + 1]: where each head begins in `indices`. */
  readonly offsets: Tensor;
  /** Entries kept over all heads; a budget fixes it in advance, so the host knows it without asking. */
  readonly total: number;
  /** Entries of every head where they are equal; absent for ragged heads. */
  readonly perHead?: number;
  /** Upper bound of the entries of one head. */
  readonly maxPerHead: number;
}

/** Keys and values that join one sequence, or read from it: `rows` consecutive token rows of a packed batch. */
export interface AttentionSegment {
  readonly view: KvView;
  /** Token rows of this sequence in the packed batch, in order; the view already holds their keys and values. */
  readonly rows: number;
}
