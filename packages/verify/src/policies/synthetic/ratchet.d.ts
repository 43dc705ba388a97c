import { z } from 'zod';
import type { Family } from '../case-file.js';
declare const schema: z.ZodObject<{
    case: z.ZodString;
    input: z.ZodString;
    keyScale: z.ZodNumber;
    sinks: z.ZodInt;
    recent: z.ZodInt;
    safeLimit: z.ZodNumber;
    features: z.ZodLiteral<"F1">;
}, z.core.$strict>;
/** NTK-KV's feature map, state, and outputs with and without the safe rule. */
export declare const ratchetFamily: Family<z.infer<typeof schema>>;
export {};
