import { z } from 'zod';
import type { Family } from '../case-file.js';
declare const h2oSchema: z.ZodObject<{
    case: z.ZodString;
    input: z.ZodString;
    window: z.ZodInt;
    budget: z.ZodInt;
    variant: z.ZodEnum<{
        ntk: "ntk";
        causal: "causal";
    }>;
    gap: z.ZodOptional<z.ZodArray<z.ZodNullable<z.ZodNumber>>>;
}, z.core.$strict>;
/** NTK-KV's H2O per query head with its own mask, and the causal formula per KV head. */
export declare const h2oFamily: Family<z.infer<typeof h2oSchema>>;
declare const streamingSchema: z.ZodObject<{
    case: z.ZodString;
    input: z.ZodString;
    budget: z.ZodInt;
    sink: z.ZodInt;
    repository: z.ZodEnum<{
        ntk: "ntk";
        adakv: "adakv";
    }>;
}, z.core.$strict>;
/** Sinks and recents; the golden has one row per head of the repository. */
export declare const streamingFamily: Family<z.infer<typeof streamingSchema>>;
declare const l2normSchema: z.ZodObject<{
    case: z.ZodString;
    input: z.ZodString;
    keepRatio: z.ZodNumber;
    pruneAfter: z.ZodInt;
    skipLayers: z.ZodArray<z.ZodInt>;
    kept: z.ZodArray<z.ZodInt>;
}, z.core.$strict>;
/** Three layers; layer l holds the input's keys rolled by l tokens. */
export declare const l2normFamily: Family<z.infer<typeof l2normSchema>>;
export {};
