import type { EvictionPolicy, LayerView } from '@kvsift/policy';
import type { SuiteRun } from '../../suite.js';
/** Every press in every layer of the model, in one pass: a policy that looks at everything, asks every press, and evicts nothing. */
export declare function modelCases(run: SuiteRun, file: string): Promise<void>;
/** A policy that hands every layer with everything observed to `look` and keeps it whole. */
export declare function probe(look: (view: LayerView) => Promise<void>): EvictionPolicy;
