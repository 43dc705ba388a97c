import {
  keyOf,
  type Manifest,
  manifestDifferences,
  type Result,
  type StoredRetention,
  type StoredRun,
  type Suite,
  type SuiteRow,
  suiteRows,
} from '@kvsift/eval';
import { KvsiftError } from '@kvsift/tensor';

/** What a report shows: the results of one or several runs. */
export interface ReportData {
  readonly results: readonly Result[];
  readonly manifests: ReadonlyMap<string, Manifest>;
  readonly retentions: readonly StoredRetention[];
  /** What the suites themselves make of the results. */
  readonly suites: readonly SuiteRow[];
}

/**
 * Puts runs together. What several of them made under one manifest, such as the full cache, counts once.
 * @param mix allow results of one model and suite that were made under different circumstances; where these have samples in common, each has rows of its own
 * @param suiteOf makes the suite of a manifest, which then shows its own numbers; undefined for one that it does not know
 * @throws KvsiftError `run_mismatch` naming the fields that differ; `data_malformed` where a manifest has gone
 */
export function combineRuns(
  runs: readonly StoredRun[],
  mix = false,
  suiteOf: (manifest: Manifest) => Suite | undefined = () => undefined,
): ReportData {
  const manifests = new Map(runs.flatMap((run) => [...run.manifests]));
  if (!mix) for (const run of runs) checkManifests(run, manifests);
  if (!mix) checkAgreement(runs, manifests);
  const results = new Map<string, Result>();
  for (const result of runs.flatMap((run) => [...run.results])) {
    const key = keyOf(result);
    // A sample that failed in one run may have a score in another.
    if ((results.get(key)?.score ?? null) === null) results.set(key, result);
  }
  const retentions = new Map(runs.flatMap((run) => run.retentions.map((retention) => [keyOf(retention.key), retention])));
  const combined = [...results.values()];
  return {
    results: combined,
    manifests,
    retentions: [...retentions.values()],
    suites: suiteRows(combined, manifests, suiteOf),
  };
}

function checkManifests({ folder, results }: StoredRun, manifests: ReadonlyMap<string, Manifest>): void {
  const orphan = results.find(({ manifest }) => !manifests.has(manifest));
  if (orphan === undefined) return;
  const { manifest, model, suite } = orphan;
  throw new KvsiftError(
    'data_malformed',
    `${folder}: manifests/${manifest}.json is missing: it says under which circumstances results of ${model} on ${suite} were made; put it back, or pass --mix to report them all the same`,
    { folder, manifest },
  );
}

function checkAgreement(runs: readonly StoredRun[], manifests: ReadonlyMap<string, Manifest>): void {
  const seen = new Map<string, string>();
  for (const { manifest, model, suite } of runs.flatMap((run) => [...run.results])) {
    const group = JSON.stringify([model, suite]);
    const first = seen.get(group) ?? manifest;
    seen.set(group, first);
    const [before, after] = [manifests.get(first), manifests.get(manifest)];
    if (first === manifest || before === undefined || after === undefined) continue;
    throw new KvsiftError(
      'run_mismatch',
      `results of ${model} on ${suite} were made under different circumstances (${manifestDifferences(before, after).join('; ')}): report them apart, or pass --mix`,
      { manifests: [first, manifest] },
    );
  }
}
