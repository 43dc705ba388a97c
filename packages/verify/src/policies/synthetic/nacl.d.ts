import { z } from 'zod';
import type { Family } from '../case-file.js';
declare const schema: z.ZodObject<{
    case: z.ZodString;
    input: z.ZodString;
    proxyRatio: z.ZodNumber;
    sinks: z.ZodInt;
    proxyKeep: z.ZodNumber;
    randomKeep: z.ZodNumber;
    protect: z.ZodNumber;
    counts: z.ZodObject<{
        proxies: z.ZodInt;
        recent: z.ZodInt;
        top: z.ZodInt;
        random: z.ZodInt;
    }, z.core.$strict>;
    rounds: z.ZodArray<z.ZodArray<z.ZodInt>>;
    uniforms: z.ZodArray<z.ZodArray<z.ZodNumber>>;
    probabilities: z.ZodString;
}, z.core.$strict>;
/** NACL release per query head: scores, the deterministic part, the law of the draw, and that our sampler keeps to counts and parts. */
export declare const naclFamily: Family<z.infer<typeof schema>>;
export {};
