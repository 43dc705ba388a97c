import { z } from 'zod';
import type { SuiteRun } from '../../suite.js';
import { type Family } from '../case-file.js';
declare const schema: z.ZodObject<{
    case: z.ZodString;
    input: z.ZodString;
    layers: z.ZodInt;
    layer: z.ZodInt;
    budget: z.ZodInt;
    window: z.ZodInt;
    kernel: z.ZodInt;
    pooling: z.ZodPipe<z.ZodEnum<{
        avgpool: "avgpool";
        maxpool: "maxpool";
    }>, z.ZodTransform<"average" | "max", "avgpool" | "maxpool">>;
    beta: z.ZodNumber;
    kept: z.ZodInt;
    gap: z.ZodOptional<z.ZodArray<z.ZodNullable<z.ZodNumber>>>;
}, z.core.$strict>;
/** NTK-KV repository, per query head. */
export declare const pyramidkvFamily: Family<z.infer<typeof schema>>;
/** Entries per layer of three implementations, and that our exact form spends the budget exactly. */
export declare function checkPyramidBudgets(run: SuiteRun, file: string): Promise<void>;
export {};
