import type { Finding } from '../forward/compare.js';
/** Tolerance of scores: |ours − golden| ≤ relative · |golden| + absolute. */
export interface ScoreTolerance {
    readonly relative: number;
    readonly absolute: number;
}
/** Scores of the golden README; some presses have wider ones. */
export declare const usualTolerance: ScoreTolerance;
/**
 * Compares scores [heads, golden columns] with the first columns of ours [heads, n]. `columns` limits the comparison to entries that are scored.
 */
export declare function sameScores(ours: Float32Array, golden: Float32Array, heads: number, tolerance?: ScoreTolerance, columns?: {
    readonly first: number;
    readonly end: number;
}): Finding;
export interface KeptOptions {
    /** Scores [heads, columns] that decide ties; entries beyond the columns are protected. */
    readonly scores?: Float32Array;
    /** Entries per head that may differ where a policy chains decisions. Default 0. */
    readonly slack?: number;
    /** Relative distance from the threshold within which either choice is right. Default 1e-4. */
    readonly tie?: number;
}
type Sets = readonly (readonly number[])[];
/**
 * Compares kept sets per head: counts must agree; entries may differ where their score is within the tie tolerance of the lowest kept one.
 */
export declare function sameKept(ours: Sets, golden: Sets, options?: KeptOptions): Finding;
/** Integer tables that must be equal. */
export declare function sameNumbers(ours: ArrayLike<number>, golden: ArrayLike<number>): Finding;
/** Rows of a matrix of slots. */
export declare function rowsOf(values: ArrayLike<number>, rows: number): number[][];
export {};
