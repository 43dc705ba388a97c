import { z } from 'zod';
import type { Family } from '../case-file.js';
declare const schema: z.ZodObject<{
    case: z.ZodString;
    heads: z.ZodInt;
    kvHeads: z.ZodInt;
    headDim: z.ZodInt;
}, z.core.$strict>;
/** The flattened layout: one token joins every head of a ragged layer, then each group attends to its own head's rows. */
export declare const raggedDecodeFamily: Family<z.infer<typeof schema>>;
export {};
