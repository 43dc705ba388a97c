import type { AnswerRequest, EngineAnswer, JsonValue } from '@kvsift/eval';
import { formatBudget, formatPolicy, type PolicyRegistry, parseBudget } from '@kvsift/policy';
import { KvsiftError } from '@kvsift/tensor';
import { z } from 'zod';

const json = z.json() as unknown as z.ZodType<JsonValue>;
const count = z.int().min(0);

/** What a run tells its workers: everything that decides about an answer besides the request itself. */
export const runRecordSchema = z.object({
  run: z.string(),
  kvsift: z.string(),
  commit: z.string().nullable(),
  backend: z.string(),
  kvType: z.string().nullable(),
  /** Policies of the run, as its jobs name them. */
  policies: z.array(z.string()).default([]),
  /** As `outsideVersions` of `@kvsift/policy` tells them, of all of these. */
  outside: z.record(z.string(), z.string()).default({}),
  models: z.array(
    z.object({
      path: z.string(),
      name: z.string().optional(),
      contextLength: count.optional(),
      facts: z.record(z.string(), json),
    }),
  ),
});
/** What a run tells its workers of itself. */
export type RunRecord = z.output<typeof runRecordSchema>;

/** One request to one of the run's models. */
export const jobSchema = z.object({
  model: count,
  context: z.string(),
  addSpecial: z.boolean(),
  questions: z.array(
    z.object({ text: z.string(), maxNewTokens: count, minNewTokens: count.optional(), stop: z.array(z.string()) }),
  ),
  /** Expression; absent: everything is kept. */
  policy: z.string().optional(),
  budget: z.string().optional(),
  seed: z.number(),
  sequence: z.number(),
  retention: z.boolean(),
});
/** One request in the queue. */
export type Job = z.output<typeof jobSchema>;

/** What a worker sends back: the answers, and the error that kept it from the others where it lies in the sample. */
export const outcomeSchema = z.object({
  worker: z.string(),
  answers: z.array(z.record(z.string(), json)),
  error: z.object({ code: z.string(), message: z.string() }).optional(),
});
export interface Outcome {
  readonly worker: string;
  readonly answers: readonly EngineAnswer[];
  readonly error?: { readonly code: string; readonly message: string };
}

/** A request as a worker on another machine reads it. */
export function encodeJob(model: number, { context, addSpecial, questions, setting, retention = false }: AnswerRequest): Job {
  const { policy, budget, seed, sequence } = setting;
  return {
    model,
    context,
    addSpecial,
    questions: questions.map(({ stop, ...question }) => ({ ...question, stop: [...stop] })),
    ...(policy && { policy: formatPolicy(policy) }),
    ...(budget && { budget: formatBudget(budget) }),
    seed,
    sequence,
    retention,
  };
}

/** The request of a job. @throws KvsiftError `data_malformed`; `policy_unknown`, `policy_invalid`, `budget_invalid` */
export function decodeJob(data: unknown, registry: PolicyRegistry): { readonly model: number; readonly request: AnswerRequest } {
  const checked = jobSchema.safeParse(data);
  if (!checked.success) throw malformed('a job', checked.error);
  const { model, policy, budget, seed, sequence, questions, ...rest } = checked.data;
  return {
    model,
    request: {
      ...rest,
      questions: questions.map(({ minNewTokens, ...question }) => ({
        ...question,
        ...(minNewTokens !== undefined && { minNewTokens }),
      })),
      setting: {
        ...(policy !== undefined && { policy: registry.parse(policy) }),
        ...(budget !== undefined && { budget: parseBudget(budget) }),
        seed,
        sequence,
      },
    },
  };
}

/** The outcome that a worker stored. @throws KvsiftError `data_malformed` */
export function decodeOutcome(value: unknown): Outcome {
  const checked = outcomeSchema.safeParse(value);
  if (!checked.success) throw malformed('an outcome', checked.error);
  return checked.data as unknown as Outcome;
}

export function malformed(what: string, error: z.ZodError): KvsiftError {
  const wrong = error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; ');
  return new KvsiftError('data_malformed', `the queue holds ${what} of another version of kvsift: ${wrong}`);
}
