import { createHash } from 'node:crypto';
import { z } from 'zod';
import { jsonSchema } from '../store/json.js';

/** Everything that must agree between results that one table compares, one for each model and suite of a run; what need not agree says so. */
export const manifestSchema = z.object({
  kvsift: z.string(),
  /** Commit of the working tree, with `+changes` where files differ from it; null outside a repository. */
  commit: z.string().nullable(),
  node: z.string(),
  machine: z.record(z.string(), jsonSchema),
  model: z.record(z.string(), jsonSchema),
  suite: z.object({
    name: z.string(),
    tasks: z.array(z.string()),
    profile: z.string(),
    options: jsonSchema,
    /** Options that say where data lie, as absolute paths. They may differ: `samples` tells what lay there. */
    data: z.record(z.string(), jsonSchema).optional(),
    promptTokens: z.number().nullable(),
    /** Hash of all samples: prompts, limits and expected answers. */
    samples: z.string(),
    stops: z.array(z.string()),
  }),
  /** Data rows and whole tasks that could not be used. They may differ: `samples` tells what could. */
  leftOut: z.array(z.object({ task: z.string(), message: z.string() })).optional(),
  question: z.enum(['aware', 'agnostic']),
  chat: z.boolean(),
  /** Present where policies shared one reading of a prompt: its time is no policy's own. */
  prefill: z.literal('shared').optional(),
  seed: z.number(),
});

/** The circumstances under which results were made. */
export type Manifest = z.output<typeof manifestSchema>;

/** Hash of what must agree, 12 hex digits; the order of fields does not matter. */
export function hashManifest(manifest: Manifest): string {
  return createHash('sha256')
    .update(canonical(identityOf(manifest)))
    .digest('hex')
    .slice(0, 12);
}

/** Fields that must agree and differ, as dotted paths with both values. */
export function manifestDifferences(a: Manifest, b: Manifest): string[] {
  return differences(identityOf(a), identityOf(b));
}

function identityOf({ leftOut: _leftOut, suite: { data: _data, ...suite }, ...rest }: Manifest) {
  return { ...rest, suite };
}

/** Fields in which two values differ, as dotted paths with both values. */
export function differences(a: unknown, b: unknown, path = ''): string[] {
  if (canonical(a) === canonical(b)) return [];
  if (isRecord(a) && isRecord(b)) {
    const names = new Set([...Object.keys(a), ...Object.keys(b)]);
    return [...names].flatMap((name) => differences(a[name], b[name], path === '' ? name : `${path}.${name}`));
  }
  return [`${path}: ${shorten(a)} and ${shorten(b)}`];
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function canonical(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    isRecord(inner) ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1))) : inner,
  );
}

function shorten(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}
