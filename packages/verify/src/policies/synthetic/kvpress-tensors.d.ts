import { z } from 'zod';
import type { Family } from '../case-file.js';
declare const schema: z.ZodDiscriminatedUnion<[z.ZodObject<{
    policy: z.ZodLiteral<"knorm">;
    ratio: z.ZodNumber;
    case: z.ZodString;
    input: z.ZodString;
    gap: z.ZodOptional<z.ZodArray<z.ZodNullable<z.ZodNumber>>>;
}, z.core.$strict>, z.ZodObject<{
    policy: z.ZodLiteral<"keydiff">;
    ratio: z.ZodNumber;
    case: z.ZodString;
    input: z.ZodString;
    gap: z.ZodOptional<z.ZodArray<z.ZodNullable<z.ZodNumber>>>;
}, z.core.$strict>, z.ZodObject<{
    policy: z.ZodLiteral<"cur">;
    ratio: z.ZodNumber;
    sinks: z.ZodInt;
    window: z.ZodInt;
    case: z.ZodString;
    input: z.ZodString;
    gap: z.ZodOptional<z.ZodArray<z.ZodNullable<z.ZodNumber>>>;
}, z.core.$strict>, z.ZodObject<{
    policy: z.ZodLiteral<"streamingllm">;
    ratio: z.ZodNumber;
    sinks: z.ZodInt;
    case: z.ZodString;
    input: z.ZodString;
    gap: z.ZodOptional<z.ZodArray<z.ZodNullable<z.ZodNumber>>>;
}, z.core.$strict>, z.ZodObject<{
    policy: z.ZodLiteral<"lagkv">;
    ratio: z.ZodNumber;
    sinks: z.ZodInt;
    lag: z.ZodInt;
    cross: z.ZodBoolean;
    case: z.ZodString;
    input: z.ZodString;
    gap: z.ZodOptional<z.ZodArray<z.ZodNullable<z.ZodNumber>>>;
}, z.core.$strict>, z.ZodObject<{
    policy: z.ZodLiteral<"block-keydiff">;
    ratio: z.ZodNumber;
    block: z.ZodInt;
    case: z.ZodString;
    input: z.ZodString;
    gap: z.ZodOptional<z.ZodArray<z.ZodNullable<z.ZodNumber>>>;
}, z.core.$strict>, z.ZodObject<{
    policy: z.ZodLiteral<"chunk-knorm">;
    ratio: z.ZodNumber;
    chunk: z.ZodInt;
    case: z.ZodString;
    input: z.ZodString;
    gap: z.ZodOptional<z.ZodArray<z.ZodNullable<z.ZodNumber>>>;
}, z.core.$strict>, z.ZodObject<{
    policy: z.ZodLiteral<"rerotate-knorm">;
    ratio: z.ZodNumber;
    theta: z.ZodNumber;
    case: z.ZodString;
    input: z.ZodString;
    gap: z.ZodOptional<z.ZodArray<z.ZodNullable<z.ZodNumber>>>;
}, z.core.$strict>, z.ZodObject<{
    policy: z.ZodLiteral<"noncausal-columns">;
    chunk: z.ZodInt;
    case: z.ZodString;
    input: z.ZodString;
    gap: z.ZodOptional<z.ZodArray<z.ZodNullable<z.ZodNumber>>>;
}, z.core.$strict>, z.ZodObject<{
    policy: z.ZodLiteral<"leverage">;
    sketch: z.ZodInt;
    case: z.ZodString;
    input: z.ZodString;
    gap: z.ZodOptional<z.ZodArray<z.ZodNullable<z.ZodNumber>>>;
}, z.core.$strict>], "policy">;
type TensorCase = z.infer<typeof schema>;
/** Presses on bare tensors. */
export declare const kvpressTensorsFamily: Family<TensorCase>;
export {};
