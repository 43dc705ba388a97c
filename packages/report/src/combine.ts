import { differences, type Manifest, type Result, type StoredRetention, type StoredRun } from '@kvsift/eval';
import { KvsiftError } from '@kvsift/tensor';

/** What a report shows: the results of one or several runs. */
export interface ReportData {
  readonly results: readonly Result[];
  readonly manifests: ReadonlyMap<string, Manifest>;
  readonly retentions: readonly StoredRetention[];
}

/**
 * Puts runs together.
 * @param mix allow results of one model and suite that were made under different circumstances; without it one sample counts once
 * @throws KvsiftError `run_mismatch` naming the fields that differ; `data_malformed` where two runs hold the same result
 */
export function combineRuns(runs: readonly StoredRun[], mix = false): ReportData {
  const results = runs.flatMap((run) => [...run.results]);
  const manifests = new Map(runs.flatMap((run) => [...run.manifests]));
  const seen = new Map<string, string>();
  const keys = new Set<string>();
  for (const { manifest, model, policy, budget, suite, task, sample } of results) {
    const key = JSON.stringify([model, policy, budget, suite, task, sample]);
    if (keys.has(key)) {
      throw new KvsiftError(
        'data_malformed',
        `two results for ${model}, ${policy} ${budget}, ${suite} ${task}, sample ${sample}`,
      );
    }
    keys.add(key);
    const group = JSON.stringify([model, suite]);
    const first = seen.get(group);
    if (first === undefined) seen.set(group, manifest);
    else if (first !== manifest && !mix) {
      const differing = differences(manifests.get(first), manifests.get(manifest)).join('; ');
      throw new KvsiftError(
        'run_mismatch',
        `results of ${model} on ${suite} were made under different circumstances (${differing}): report them apart, or pass --mix`,
        { manifests: [first, manifest] },
      );
    }
  }
  return { results, manifests, retentions: runs.flatMap((run) => [...run.retentions]) };
}
