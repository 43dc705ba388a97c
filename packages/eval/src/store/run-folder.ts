import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { KvsiftError } from '@kvsift/tensor';
import type { Retention } from '../engine/contract.js';
import { differences, type Manifest, manifestSchema } from '../run/manifest.js';
import type { Result, ResultKey } from './result.js';
import { readResults } from './results.js';

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
  writeManifest(hash: string, manifest: Manifest): Promise<void>;
  writeRetention(key: ResultKey, retention: Retention): Promise<void>;
  /**
   * Hashes of older manifests whose results count as done: none, unless `mix`.
   * @throws KvsiftError `run_mismatch` naming the fields that differ
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
      const others = new Set<string>();
      for (const { manifest: hash, model, suite } of results) {
        const writer = writers.find((candidate) => candidate.model === model && candidate.suite.name === suite);
        if (writer === undefined || hash === writer.manifestHash || others.has(hash)) continue;
        others.add(hash);
        if (mix) continue;
        const differing = differences(stored.get(hash), writer.manifest).join('; ');
        throw new KvsiftError(
          'run_mismatch',
          `${folder} holds results of ${model} on ${suite} made under other circumstances (${differing}): use a new folder, or --mix to go on all the same`,
          { folder, differing },
        );
      }
      return others;
    },
  };
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
    retentions: retentions.map(([, value]) => value as StoredRetention),
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
