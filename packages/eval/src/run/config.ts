import { KvsiftError, kvTypes } from '@kvsift/tensor';
import { parse, YAMLError } from 'yaml';
import { z } from 'zod';
import { jsonSchema } from '../store/json.js';
import type { JsonValue } from '../suite.js';

const modelSchema = z.union([
  z
    .string()
    .min(1)
    .transform((path) => ({ path })),
  z.strictObject({
    path: z.string().min(1).describe('A .gguf file or a Hugging Face folder; "demo" is the embedded model.'),
    name: z.string().min(1).optional().describe('Name in tables. Default: the file or folder name.'),
    contextLength: z.int().min(1).optional().describe('Longest sequence in tokens. Default: what the model was made for.'),
  }),
]);

const budgetSchema = z
  .union([z.string().min(1), z.int().min(1)], {
    error: ({ input }) => `expected 512 (tokens), 20% (of the prompt) or 64MiB (whole cache), got ${JSON.stringify(input)}`,
  })
  .transform(String);

const suiteSchema = z.union([
  z
    .string()
    .min(1)
    .transform((suite) => ({ suite })),
  z.strictObject({
    suite: z.string().min(1),
    tasks: z.array(z.string().min(1)).min(1).optional(),
    limit: z.int().min(1).optional().describe('Most samples per task.'),
    profile: z.string().min(1).optional().describe('Scoring rules.'),
    promptTokens: z
      .int()
      .min(1)
      .optional()
      .describe('Longer prompts are cut in the middle as the reference does. Default: never.'),
    options: z.record(z.string(), jsonSchema).optional().describe('What this suite needs: folders, lengths, depths.'),
  }),
]);

/** Settings of a run, as a YAML or JSON file holds them. */
export const runConfigSchema = z.strictObject({
  models: z.array(modelSchema).min(1),
  policies: z.array(z.string().min(1)).min(1).describe('Expressions such as snapkv or adakv(snapkv(window=32)).'),
  budgets: z
    .array(budgetSchema)
    .default([])
    .describe('512 (tokens), 20% (of the prompt) or 64MiB (whole cache). None: every policy ignores budgets.'),
  suites: z.array(suiteSchema).min(1),
  backend: z.enum(['cpu', 'reference', 'cuda']).default('cpu'),
  kvType: z.enum(kvTypes).optional(),
  question: z
    .enum(['aware', 'agnostic'])
    .default('aware')
    .describe('aware: the policy sees the question. agnostic: the context is compressed before the question is known.'),
  chat: z.boolean().default(true).describe("Wrap prompts in the model's chat template where the suite allows it."),
  seed: z
    .int()
    .min(0)
    .max(2 ** 32 - 1)
    .default(42),
  onError: z
    .enum(['continue', 'stop'])
    .default('continue')
    .describe('What a sample or a data file that fails does to the rest of the run.'),
  sharePrefill: z
    .boolean()
    .default(false)
    .describe(
      'Read each prompt once for all policies and budgets: faster; the times of reading are then those of the shared one, and all caches are held at once.',
    ),
  retention: z.int().min(0).default(1).describe('Samples per task of which the report shows the kept tokens.'),
});

/** The settings of a run, checked. */
export type RunConfig = z.output<typeof runConfigSchema>;
/** A model to run. */
export interface ModelSetting {
  readonly path: string;
  readonly name?: string | undefined;
  readonly contextLength?: number | undefined;
}

/** A suite to run. */
export interface SuiteSetting {
  readonly suite: string;
  readonly tasks?: readonly string[] | undefined;
  readonly limit?: number | undefined;
  readonly profile?: string | undefined;
  readonly promptTokens?: number | undefined;
  readonly options?: Readonly<Record<string, JsonValue>> | undefined;
}

/**
 * Checks settings and fills in defaults.
 * @param source what to call them in an error: a path, or "flags"
 * @throws KvsiftError `config_invalid` with every field that is wrong
 */
export function parseRunConfig(value: unknown, source: string): RunConfig {
  const checked = runConfigSchema.safeParse(value);
  if (checked.success) return checked.data;
  const wrong = checked.error.issues.map(({ path, message }) => `${path.join('.') || 'the whole'}: ${message}`);
  throw new KvsiftError('config_invalid', `${source}: ${wrong.join('; ')}`, { source });
}

/** Reads the text of a YAML or JSON file (JSON is YAML). @throws KvsiftError `config_invalid` */
export function readRunConfig(text: string, source: string): RunConfig {
  try {
    return parseRunConfig(parse(text), source);
  } catch (error) {
    if (!(error instanceof YAMLError)) throw error;
    throw new KvsiftError('config_invalid', `${source}: ${error.message.split('\n', 1)[0]}`, { source }, { cause: error });
  }
}
