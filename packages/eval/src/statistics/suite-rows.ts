import type { Manifest } from '../run/manifest.js';
import type { Result } from '../store/result.js';
import type { Score, Suite, TaskSummary } from '../suite.js';
import { groupRows } from './rows.js';

/** A task under one policy and budget, in the suite's own numbers. */
export interface SuiteRow extends TaskSummary {
  readonly model: string;
  readonly suite: string;
  readonly policy: string;
  readonly label: string;
  readonly budget: string;
  /** Rules of the scores. */
  readonly profile: string;
  /** The manifest that the row is kept apart by, as in a `SummaryRow`. */
  readonly apart?: string;
}

/**
 * What the suites themselves make of their results (LongBench-E: one score per length; RULER: empty answers), in the order of first appearance. Suites without an
 * `aggregate`, and those that `suiteOf` does not know, have no rows.
 */
export function suiteRows(
  results: readonly Result[],
  manifests: ReadonlyMap<string, Manifest>,
  suiteOf: (manifest: Manifest) => Suite | undefined,
): SuiteRow[] {
  return groupRows(results, 'suite').flatMap(({ apart, cells }) =>
    cells.flatMap((cell): SuiteRow[] => {
      const [first] = cell;
      const manifest = manifests.get(first?.manifest ?? '');
      if (first === undefined || manifest === undefined) return [];
      const { model, suite, policy, label, budget } = first;
      const { profile } = manifest.suite;
      const scored = cell.map(({ task, prediction, meta, ...result }) => ({
        ...{ task, prediction, score: scoreOf(result) },
        ...(meta && { meta }),
      }));
      const summaries = suiteOf(manifest)?.aggregate?.(scored, profile) ?? [];
      const names = { model, suite, policy, label, budget, profile, ...(apart !== undefined && { apart }) };
      return summaries.map((summary) => ({ ...names, ...summary }));
    }),
  );
}

function scoreOf({ score, error }: Pick<Result, 'score' | 'error'>): Score {
  return score ?? { error: error?.code ?? 'no score', message: error?.message ?? '' };
}
