import { z } from 'zod';
import type { Family } from '../case-file.js';
export declare const pooling: z.ZodPipe<z.ZodEnum<{
    avgpool: "avgpool";
    maxpool: "maxpool";
}>, z.ZodTransform<"average" | "max", "avgpool" | "maxpool">>;
export declare const gap: z.ZodOptional<z.ZodArray<z.ZodNullable<z.ZodNumber>>>;
declare const schema: z.ZodObject<{
    case: z.ZodString;
    input: z.ZodString;
    window: z.ZodInt;
    kernel: z.ZodInt;
    pooling: z.ZodPipe<z.ZodEnum<{
        avgpool: "avgpool";
        maxpool: "maxpool";
    }>, z.ZodTransform<"average" | "max", "avgpool" | "maxpool">>;
    budget: z.ZodInt;
    reduce: z.ZodNullable<z.ZodEnum<{
        max: "max";
        mean: "mean";
    }>>;
    untouched: z.ZodBoolean;
    gap: z.ZodOptional<z.ZodArray<z.ZodNullable<z.ZodNumber>>>;
}, z.core.$strict>;
/** AdaKV repository, SnapKVCluster. */
export declare const snapkvFamily: Family<z.infer<typeof schema>>;
export {};
