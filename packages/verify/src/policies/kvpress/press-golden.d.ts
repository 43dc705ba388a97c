import type { SequenceContext } from '@kvsift/policy';
import { type LayerSource } from '@kvsift/policy-testkit';
import { z } from 'zod';
import type { Finding } from '../../forward/compare.js';
import type { GoldenFile } from '../../forward/golden-file.js';
/** presses.json of one prompt. */
export declare const pressesSchema: z.ZodObject<{
    tokens: z.ZodInt;
    layers: z.ZodInt;
    kvHeads: z.ZodInt;
    presses: z.ZodArray<z.ZodObject<{
        press: z.ZodString;
        params: z.ZodRecord<z.ZodString, z.ZodUnknown>;
        ratios: z.ZodRecord<z.ZodString, z.ZodUnknown>;
    }, z.core.$strip>>;
}, z.core.$strip>;
export type Press = z.infer<typeof pressesSchema>['presses'][number];
/** A press at one ratio in one layer. */
export interface PressLayer {
    readonly press: Press;
    readonly ratio: string;
    readonly layer: number;
    readonly golden: GoldenFile;
    readonly source: LayerSource;
    /** Without budget and counting, which the ratio gives. */
    readonly context: Omit<SequenceContext, 'budget' | 'counting'>;
    /** Factor on the tolerances where the layer's inputs are our own forward pass: float32 sums in another order. Default 1: stored inputs. */
    readonly noise?: number;
}
/** Findings of a press in one layer by quantity; undefined where this layer has nothing to compare with (its sketch was not stored). */
export declare function checkPressLayer(at: PressLayer): Promise<Record<string, Finding> | undefined>;
/** Kept slots per head of one layer of a mask [layers, kvHeads, tokens]. */
export declare function keptOf(golden: GoldenFile, name: string, layer: number, kvHeads: number): Promise<number[][]>;
