import { resolve } from 'node:path';
import type { JsonValue, Manifest, RunConfig, Suite, SuiteSetting } from '@kvsift/eval';
import { INFINITE_BENCH_TEMPLATES, infiniteBench } from '@kvsift/eval-infinitebench';
import { longBench, longBenchE } from '@kvsift/eval-longbench';
import { needleInHaystack } from '@kvsift/eval-needle';
import { passkeyRetrieval } from '@kvsift/eval-passkey';
import { ruler } from '@kvsift/eval-ruler';
import { withAbsoluteSource } from '@kvsift/policies';
import { isKvsiftError, KvsiftError } from '@kvsift/tensor';
import { z } from 'zod';
import { factsSuite } from './demo/facts-suite.js';

/** A suite that a run can name. */
export interface SuiteKind {
  readonly description: string;
  /** What `options` of its setting may hold. */
  readonly schema: z.ZodType;
  /** Makes the suite. @throws ZodError for options that do not fit */
  readonly make: (options: unknown) => Suite;
}

function kind<S extends z.ZodType>(description: string, schema: S, make: (options: z.output<S>) => Suite): SuiteKind {
  return { description, schema, make: (options) => make(schema.parse(options)) };
}

const tokens = z.int().min(1);
const folder = z.string().min(1);
const given = <T extends object>(options: T) =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>;
  };

/** Suites by name. */
export const suiteKinds: Readonly<Record<string, SuiteKind>> = {
  facts: kind(
    'facts hidden in generated texts, for the embedded model',
    z.strictObject({
      lengths: z.array(tokens).min(1).default([1024]),
      samples: z.int().min(1).default(20),
      facts: z.int().min(1).default(16),
      digits: z.int().min(1).max(15).default(5),
    }),
    factsSuite,
  ),
  infinitebench: kind(
    'InfiniteBench: TASK.jsonl files in a folder',
    z.strictObject({
      folder,
      normalize: z.boolean().default(false),
      rounding: z.enum(['floor', 'ceil']).default('floor'),
      templates: z.enum(INFINITE_BENCH_TEMPLATES).default('reference'),
    }),
    infiniteBench,
  ),
  longbench: kind(
    'LongBench: TASK.jsonl files in a folder',
    z.strictObject({ folder, bos: z.boolean().default(true) }),
    longBench,
  ),
  'longbench-e': kind(
    'LongBench-E: TASK_e.jsonl files in a folder',
    z.strictObject({ folder, bos: z.boolean().default(true) }),
    longBenchE,
  ),
  needle: kind(
    'needle in a haystack: a folder of essays',
    z.strictObject({
      essays: folder,
      preset: z.enum(['l2compress', 'kvcache-factory']).default('kvcache-factory'),
      lengths: z.array(tokens).min(1).optional(),
      depths: z.array(z.number().min(0).max(100)).min(1).optional(),
      trials: z.number().int().min(1).optional(),
      needles: z
        .array(z.strictObject({ text: z.string().min(1), answer: z.string().min(1) }))
        .min(1)
        .optional(),
      question: z.string().min(1).optional(),
      maxNewTokens: tokens.optional(),
    }),
    (options) => needleInHaystack(given(options) as Parameters<typeof needleInHaystack>[0]),
  ),
  passkey: kind(
    'passkey retrieval: the landmark and the InfiniteBench forms',
    z.strictObject({
      landmarkLengths: z.array(tokens).min(1).optional(),
      landmarkSeeds: z.array(z.int().min(0)).min(1).optional(),
      grid: z.strictObject({ lines: z.int().min(0), step: z.int().min(1), keysPerDepth: z.int().min(1) }).optional(),
    }),
    (options) => passkeyRetrieval(given(options)),
  ),
  ruler: kind(
    'RULER at one length',
    z.strictObject({
      length: tokens,
      essays: folder.optional(),
      squad: folder.optional(),
      hotpot: folder.optional(),
      freshShuffles: z.boolean().optional(),
    }),
    (options) => ruler(given(options) as Parameters<typeof ruler>[0]),
  ),
};

/** Options of suites that are paths of data. */
export const dataOptions = ['essays', 'folder', 'hotpot', 'squad'];

/** A run's settings with absolute paths: it is continued from wherever one is. */
export function withAbsolutePaths(config: RunConfig): RunConfig {
  return {
    ...config,
    policies: config.policies.map((expression) => withAbsoluteSource(expression)),
    models: config.models.map((model) => ({ ...model, path: model.path === 'demo' ? model.path : resolve(model.path) })),
    suites: config.suites.map((suite: SuiteSetting) => {
      const options = Object.entries(suite.options ?? {}).map(([name, value]) => [name, absolute(name, value)]);
      return suite.options === undefined ? suite : { ...suite, options: Object.fromEntries(options) };
    }),
  };
}

function absolute(name: string, value: JsonValue): JsonValue {
  return dataOptions.includes(name) && typeof value === 'string' && value !== '' ? resolve(value) : value;
}

/** The suite that a manifest names, for its own numbers; undefined where it is none of these, or of another version. */
export function suiteOf({ suite: { name, options, data } }: Manifest): Suite | undefined {
  const given = { ...(options as SuiteSetting['options']), ...data };
  for (const suite of Object.keys(suiteKinds)) {
    // Suites name themselves by what they are made with: ruler-4096.
    if (name !== suite && !name.startsWith(`${suite}-`)) continue;
    try {
      const made = makeSuite({ suite, options: given });
      if (made.name === name) return made;
    } catch (error) {
      if (!isKvsiftError(error)) throw error;
    }
  }
  return undefined;
}

/** Makes the suite of a setting. @throws KvsiftError `config_invalid` naming the suite and the option */
export function makeSuite({ suite: name, options = {} }: SuiteSetting): Suite {
  const found = Object.hasOwn(suiteKinds, name) ? suiteKinds[name] : undefined;
  if (found === undefined) {
    throw new KvsiftError('config_invalid', `suite "${name}": expected one of ${Object.keys(suiteKinds).join(', ')}`, {
      suite: name,
    });
  }
  try {
    return found.make(options);
  } catch (error) {
    if (!(error instanceof z.ZodError)) throw error;
    const wrong = error.issues.map(({ path, message }) => `${['options', ...path].join('.')}: ${message}`).join('; ');
    throw new KvsiftError('config_invalid', `suite ${name}: ${wrong}`, { suite: name }, { cause: error });
  }
}
