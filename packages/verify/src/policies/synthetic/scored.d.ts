import { type Budget, type EvictionPolicy } from '@kvsift/policy';
import { type LayerInputs } from '@kvsift/policy-testkit';
import type { Finding } from '../../forward/compare.js';
import type { FamilyRun } from '../case-file.js';
export interface ScoredCase {
    readonly case: string;
    readonly policy: EvictionPolicy;
    readonly inputs: LayerInputs;
    readonly budget: Budget;
    readonly counting?: 'floor' | 'kvpress';
    readonly layer?: number;
    readonly layers?: number;
    /** Name of the kept tensor; default `<case>.kept`. */
    readonly kept?: string;
    /** Columns of the golden scores that are scored; default all that the golden has. */
    readonly columns?: {
        readonly first: number;
        readonly end: number;
    };
    readonly slack?: number;
}
/** Golden scores and kept slots against what a scored policy gives. */
export declare function checkScored(run: FamilyRun, scored: ScoredCase): Promise<Record<string, Finding>>;
/** Inputs as the reference sees them: keys repeated to all query heads where it does not reduce groups. */
export declare function inputFor(run: FamilyRun, name: string, perQueryHead: boolean): Promise<LayerInputs>;
/** Budget of a number of entries. */
export declare const entries: (tokens: number) => Budget;
/** Budget after removing a ratio with at most four decimals. */
export declare function keeping(removed: number): Budget;
