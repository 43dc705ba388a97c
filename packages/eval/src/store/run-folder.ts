import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { KvsiftError } from '@kvsift/tensor';
import { z } from 'zod';
import type { Retention } from '../engine/contract.js';
import { type Manifest, manifestDifferences, manifestSchema } from '../run/manifest.js';
import { type Result, type ResultKey, resultSchema } from './result.js';
import { readResults } from './results.js';

const keySchema = resultSchema.pick({
  manifest: true,
  model: true,
  policy: true,
  budget: true,
  suite: true,
  task: true,
  sample: true,
}) satisfies z.ZodType<ResultKey>;

const retentionSchema = z.object({
  key: keySchema,
  retention: z.object({
    kvHeads: z.number(),
    tokens: z.array(z.string()),
    layers: z.array(z.array(z.number())),
  }) satisfies z.ZodType<Retention>,
});

/** Which tokens a stored result kept. */
export interface StoredRetention {
  readonly key: ResultKey;
  readonly retention: Retention;
}

/** A run as it lies in its folder. */
export interface StoredRun {
  readonly folder: string;
  readonly results: readonly Result[];
  readonly manifests: ReadonlyMap<string, Manifest>;
  readonly retentions: readonly StoredRetention[];
}

/** Who wants to add to a run. */
interface Writer {
  readonly model: string;
  readonly suite: { readonly name: string };
  readonly manifest: Manifest;
  readonly manifestHash: string;
}

/** The files of a run. */
export interface RunFolder {
  readonly config: string;
  readonly results: string;
  readonly lock: string;
  /** Stores a manifest under its hash, whole or not at all. */
  writeManifest(hash: string, manifest: Manifest): Promise<void>;
  /** Stores which tokens a sample kept, for reports. */
  writeRetention(key: ResultKey, retention: Retention): Promise<void>;
  /**
   * Hashes of older manifests whose results may count as done: none, unless `mix`, and none that another seed, another place of the question or other scoring rules
   * were used for.
   * @throws KvsiftError `run_mismatch` naming the fields that differ, `data_malformed` where a manifest has gone
   */
  checkManifests(results: readonly Result[], writers: readonly Writer[], mix: boolean): Promise<Set<string>>;
}

/** Paths and small files of a run folder. */
export function runFolder(folder: string): RunFolder {
  const manifests = join(folder, 'manifests');
  const retention = join(folder, 'retention');
  return {
    config: join(folder, 'run.yaml'),
    results: join(folder, 'results.jsonl'),
    lock: join(folder, 'lock'),
    writeManifest: (hash, manifest) => writeWhole(manifests, `${hash}.json`, manifest),
    writeRetention: (key, kept) => {
      const name = createHash('sha256').update(JSON.stringify(key)).digest('hex').slice(0, 24);
      return writeWhole(retention, `${name}.json`, { key, retention: kept });
    },
    async checkManifests(results, writers, mix) {
      const stored = await readManifests(folder);
      const seen = new Set<string>();
      const older = new Set<string>();
      for (const { manifest: hash, model, suite } of results) {
        const writer = writers.find((candidate) => candidate.model === model && candidate.suite.name === suite);
        if (writer === undefined || hash === writer.manifestHash || seen.has(hash)) continue;
        seen.add(hash);
        const before = stored.get(hash);
        if (mix) {
          if (before === undefined || isSameTest(before, writer.manifest)) older.add(hash);
          continue;
        }
        if (before === undefined) throw manifestGone(folder, hash, model, suite);
        const differing = manifestDifferences(before, writer.manifest).join('; ');
        const known = new Set(before.leftOut?.map(({ message }) => message));
        const [lost] = (writer.manifest.leftOut ?? []).filter(({ message }) => !known.has(message));
        const why = lost === undefined ? '' : `; no longer usable: ${lost.message}`;
        throw new KvsiftError(
          'run_mismatch',
          `${folder} holds results of ${model} on ${suite} made under other circumstances (${differing}${why}): use a new folder, or --mix to go on all the same`,
          { folder, differing },
        );
      }
      return older;
    },
  };
}

/** Whether what differs is no more than code, machine, model files and data. */
function isSameTest(a: Manifest, b: Manifest): boolean {
  return a.seed === b.seed && a.question === b.question && a.suite.profile === b.suite.profile;
}

function manifestGone(folder: string, hash: string, model: string, suite: string): KvsiftError {
  const path = join(folder, 'manifests', `${hash}.json`);
  return new KvsiftError(
    'data_malformed',
    `${path} is missing: it says under which circumstances results of ${model} on ${suite} were made; put it back, use a new folder, or --mix to go on all the same`,
    { path },
  );
}

/**
 * Reads what a run has stored so far; it may still be running.
 * @throws KvsiftError `file_not_found` where the folder holds no run, `data_malformed` naming file and line
 */
export async function readRun(folder: string): Promise<StoredRun> {
  const names = await readdir(folder).catch(() => undefined);
  if (names === undefined || !names.includes('results.jsonl')) {
    throw new KvsiftError('file_not_found', `${folder}: expected the folder of a run (with results.jsonl)`, { path: folder });
  }
  const { results } = await readResults(runFolder(folder).results);
  const retentions = await readFolder(join(folder, 'retention'));
  return {
    folder,
    results,
    manifests: await readManifests(folder),
    retentions: retentions.map(([path, value]) => {
      const checked = retentionSchema.safeParse(value);
      if (checked.success) return checked.data;
      const [issue] = checked.error.issues;
      const where = issue === undefined || issue.path.length === 0 ? 'the whole' : issue.path.join('.');
      throw new KvsiftError(
        'data_malformed',
        `${path}: expected the kept tokens of a sample, ${where}: ${issue?.message}; delete the file to go on without them`,
        { path },
      );
    }),
  };
}

async function readManifests(folder: string): Promise<Map<string, Manifest>> {
  const files = await readFolder(join(folder, 'manifests'));
  return new Map(
    files.map(([path, value]) => {
      const checked = manifestSchema.safeParse(value);
      if (!checked.success) throw new KvsiftError('data_malformed', `${path}: not a manifest of this version`, { path });
      return [basename(path, '.json'), checked.data];
    }),
  );
}

async function readFolder(folder: string): Promise<[path: string, value: unknown][]> {
  const names = await readdir(folder).catch((): string[] => []);
  const paths = names.filter((name) => name.endsWith('.json')).map((name) => join(folder, name));
  return Promise.all(
    paths.sort().map(async (path): Promise<[string, unknown]> => {
      try {
        return [path, JSON.parse(await readFile(path, 'utf8'))];
      } catch (cause) {
        throw new KvsiftError('data_malformed', `${path}: expected JSON`, { path }, { cause });
      }
    }),
  );
}

/** Writes a JSON file that is there whole or not at all. */
async function writeWhole(folder: string, name: string, value: unknown): Promise<void> {
  await mkdir(folder, { recursive: true });
  const draft = join(folder, `${name}.draft`);
  await writeFile(draft, `${JSON.stringify(value)}\n`);
  await rename(draft, join(folder, name));
}
