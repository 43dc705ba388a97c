import { z } from 'zod';
import type { Family } from '../case-file.js';
declare const schema: z.ZodObject<{
    case: z.ZodString;
    input: z.ZodString;
    window: z.ZodInt;
    kernel: z.ZodInt;
    pooling: z.ZodPipe<z.ZodEnum<{
        avgpool: "avgpool";
        maxpool: "maxpool";
    }>, z.ZodTransform<"average" | "max", "avgpool" | "maxpool">>;
    baseCapacity: z.ZodInt;
    floorAlpha: z.ZodNumber;
    normalize: z.ZodBoolean;
    reduce: z.ZodNullable<z.ZodEnum<{
        max: "max";
        mean: "mean";
    }>>;
    pyramid: z.ZodNullable<z.ZodTuple<[z.ZodInt, z.ZodInt, z.ZodNumber], null>>;
    layerPastBudget: z.ZodInt;
    untouched: z.ZodBoolean;
    gap: z.ZodOptional<z.ZodArray<z.ZodNullable<z.ZodNumber>>>;
}, z.core.$strict>;
/** AdaKV repository, AdaptiveSnapKVCluster: kept entries of all heads one after the other. */
export declare const adakvFamily: Family<z.infer<typeof schema>>;
export {};
