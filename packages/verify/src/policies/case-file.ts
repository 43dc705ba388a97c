import { readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { LayerInputs } from '@kvsift/policy-testkit';
import { type Backend, KvsiftError } from '@kvsift/tensor';
import { fileError } from '@kvsift/weights';
import type { z } from 'zod';
import type { Finding } from '../forward/compare.js';
import { GoldenFile } from '../forward/golden-file.js';
import type { SuiteRun } from '../suite.js';

/** What the cases of one family need. */
export interface FamilyRun {
  readonly backend: Backend;
  readonly golden: GoldenFile;
  /** Layer numbers by the name of an input. */
  input(name: string): Promise<LayerInputs>;
}

/** Knows the cases of one family file. */
export interface Family<C> {
  readonly schema: z.ZodType<C>;
  /** Findings of one case, by quantity. */
  check(run: FamilyRun, values: C): Promise<Readonly<Record<string, Finding>>>;
}

/** Parses JSON of a golden file. @throws KvsiftError `file_malformed` */
export async function readJson(path: string): Promise<unknown> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw fileError(path, error);
  });
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new KvsiftError('file_malformed', `${path}: expected JSON`, { path }, { cause });
  }
}

/** Runs every case of a family file; tensors lie beside it, inputs in inputs.safetensors. */
export async function checkFamily<C extends { readonly case: string }>(
  run: SuiteRun,
  file: string,
  family: Family<C>,
): Promise<void> {
  const path = join(run.folder, file);
  const { cases } = (await readJson(path)) as { cases?: unknown[] };
  const backend = await run.backend();
  if (!Array.isArray(cases) || cases.length === 0) return run.tally.fail(file, 'expected a list of cases');
  if (!backend) return run.tally.skip(file, 'no backend');
  const golden = await GoldenFile.open(path.replace(/json$/, 'safetensors'));
  const inputs = await GoldenFile.open(join(dirname(path), 'inputs.safetensors'));
  const known = new Map<string, Promise<LayerInputs>>();
  const input = (name: string) => {
    const found = known.get(name) ?? readInputs(inputs, name);
    known.set(name, found);
    return found;
  };
  for (const [index, item] of cases.entries()) {
    const parsed = family.schema.safeParse(item);
    const name = `${basename(file, '.json')} ${parsed.success ? label(parsed.data) : `#${index}`}`;
    if (!parsed.success) {
      const issue = parsed.error.issues[0];
      run.tally.fail(name, `not understood: ${issue?.path.join('.')} ${issue?.message}`);
      continue;
    }
    await run.tally.run(name, async () => worst(await family.check({ backend, golden, input }, parsed.data)));
  }
}

/** Number of a case, with its policy where a file holds several. */
function label(values: { readonly case: string; readonly policy?: unknown }): string {
  return typeof values.policy === 'string' ? `${values.case} ${values.policy}` : values.case;
}

/** The findings of a case in one line. */
export function worst(findings: Readonly<Record<string, Finding>>): Finding {
  const bad = Object.entries(findings).flatMap(([quantity, finding]) =>
    finding === undefined ? [] : [`${quantity}: ${finding}`],
  );
  return bad.length === 0 ? undefined : bad.join('; ');
}

async function readInputs(file: GoldenFile, name: string): Promise<LayerInputs> {
  const [q, k, v] = await Promise.all([file.read(`${name}.q`), file.read(`${name}.k`), file.read(`${name}.v`)]);
  const [queryHeads = 0, length = 0, headDim = 0] = q.shape;
  return {
    queryHeads,
    kvHeads: k.shape[0] ?? 0,
    headDim,
    length,
    queries: floats(q.values),
    keys: floats(k.values),
    values: floats(v.values),
  };
}

function floats(values: Float32Array | Int32Array): Float32Array {
  return values instanceof Float32Array ? values : Float32Array.from(values);
}
