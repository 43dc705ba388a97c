import { z } from 'zod';
import { jsonSchema } from './json.js';

/** One finished sample: one line of results.jsonl. */
export const resultSchema = z.object({
  /** Hash of the manifest under which it was made. */
  manifest: z.string(),
  model: z.string(),
  /** Expression with all parameters; `full` keeps everything. */
  policy: z.string(),
  /** The policy as the user wrote it, one from outside by its name. */
  label: z.string(),
  budget: z.string(),
  /** As `outsideVersions` of `@kvsift/policy` tells them; absent where nothing of the policy comes from outside. */
  outside: z.record(z.string(), z.string()).optional(),
  suite: z.string(),
  task: z.string(),
  sample: z.string(),
  /** 0 … 1; null where the sample failed. */
  score: z.number().nullable(),
  error: z.object({ code: z.string(), message: z.string() }).optional(),
  prediction: z.string(),
  expected: jsonSchema,
  meta: z.record(z.string(), jsonSchema).optional(),
  /** Beginning and end of the prompt, to look at. */
  prompt: z.object({ start: z.string(), end: z.string(), characters: z.number() }),
  contextTokens: z.number(),
  generatedTokens: z.number(),
  decodedTokens: z.number(),
  cacheBytes: z.number(),
  prefillSeconds: z.number(),
  /** Absent in results that were stored before it was measured. */
  firstTokenSeconds: z.number().optional(),
  decodeSeconds: z.number(),
  finishReason: z.string(),
});

/** One line of results.jsonl: a sample under one policy and budget. */
export type Result = z.output<typeof resultSchema>;

/** What names a result within its run. */
export type ResultKey = Pick<Result, 'manifest' | 'model' | 'policy' | 'budget' | 'suite' | 'task' | 'sample'>;

/** What a result answers, as one string: another prompt or expected answer gives another one, whatever the name of the sample. */
export function questionOf({ expected, prompt }: Pick<Result, 'expected' | 'prompt'>): string {
  return JSON.stringify([expected, prompt.start, prompt.end, prompt.characters]);
}

/** The key as one string; equal keys give equal strings and no others do. */
export function keyOf({ manifest, model, policy, budget, suite, task, sample }: ResultKey): string {
  return JSON.stringify([manifest, model, policy, budget, suite, task, sample]);
}
