import { type EvictionPolicy, type LayerView, type ScoredPolicy } from '@kvsift/policy';
import type { Tensor } from '@kvsift/tensor';
import { type ScoreTolerance } from '../compare.js';
/** How a press of the goldens is checked. */
export interface PressCheck {
    readonly policy: EvictionPolicy;
    /** Whose scores the golden holds; absent: none are compared. */
    readonly scorer?: ScoredPolicy;
    readonly tolerance: ScoreTolerance;
    /** Scores are multiples of this (ranks): noise in the inputs moves them by one step. */
    readonly step?: number;
    /** Entries per head by which chained decisions may differ. */
    readonly slack: number;
}
/** The drawn sketch of a layer, where a press has one. */
export type Sketch = (view: LayerView) => Tensor;
/** The check of a press; variants (`snapkv-a`, `lagkv-cross`) belong to the longest name that they begin with. Undefined: not known. */
export declare function pressCheck(name: string, params: unknown, ratio: number, sketch: Sketch): PressCheck | undefined;
