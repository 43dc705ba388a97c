import { questionOf, type Result } from '../store/result.js';
import { createResampler, type Estimate, estimateMean, meanOf, type Resampler } from './bootstrap.js';
import { groupRows } from './rows.js';

/** One row of a table: a task under one policy and budget. */
export interface SummaryRow {
  readonly model: string;
  readonly suite: string;
  readonly task: string;
  /** Expression with all parameters. */
  readonly policy: string;
  readonly label: string;
  readonly budget: string;
  /** Manifests of its results. */
  readonly manifests: readonly string[];
  /** The manifest that the row is kept apart by: present where a sample of its model and suite has results under several. */
  readonly apart?: string;
  /** Samples with a score. */
  readonly n: number;
  /** Samples that ended in an error. */
  readonly failed: number;
  readonly score: Estimate;
  /** Score minus that of the full cache, over the samples that both have with the same prompt and expected answer; absent for the full cache and where it was not run. */
  readonly difference?: Estimate & { readonly n: number /** True where the interval holds 0. */; readonly withinNoise: boolean };
  /** Means over the samples with a score. */
  readonly cacheBytes: number;
  /** Cache bytes as a share of the full cache's, over the samples that both have. */
  readonly cacheShare?: number;
  readonly contextTokens: number;
  readonly prefillSeconds: number;
  /** Decoded tokens over seconds, all samples together; NaN where nothing was decoded. */
  readonly decodeTokensPerSecond: number;
}

/** Rows in the order of first appearance, each task of each model with its full cache first. */
export function summarize(results: readonly Result[], seed = 0): SummaryRow[] {
  const resampler = createResampler(seed);
  return groupRows(results).flatMap(({ apart, cells }) => {
    const full = new Map(
      cells
        .flat()
        .filter(({ policy, score }) => policy === 'full' && score !== null)
        .map((result) => [pairName(result), result]),
    );
    return cells
      .map((cell) => ({ ...summarizeCell(cell, full, resampler), ...(apart !== undefined && { apart }) }))
      .sort((a, b) => Number(b.policy === 'full') - Number(a.policy === 'full'));
  });
}

/** Samples of one name may have other prompts under another manifest: those are no pair. */
function pairName(result: Result): string {
  return JSON.stringify([result.sample, questionOf(result)]);
}

function summarizeCell(cell: readonly Result[], full: ReadonlyMap<string, Result>, resampler: Resampler): SummaryRow {
  const [first] = cell;
  if (first === undefined) throw new RangeError('a cell without results');
  const scored = cell.filter((result) => result.score !== null);
  const scores = scored.map(({ score }) => score ?? 0);
  const pairs = scored.flatMap((result) => {
    const other = full.get(pairName(result));
    return other === undefined ? [] : [{ result, other }];
  });
  const { model, suite, task, policy, label, budget } = first;
  const compared = policy !== 'full' && pairs.length > 0;
  return {
    ...{ model, suite, task, policy, label, budget, n: scored.length, failed: cell.length - scored.length },
    manifests: [...new Set(cell.map(({ manifest }) => manifest))],
    score: estimateMean(scores, resampler),
    ...(compared && { difference: compare(pairs, resampler) }),
    cacheBytes: meanOf(scored.map(({ cacheBytes }) => cacheBytes)),
    ...(pairs.length > 0 && {
      cacheShare: meanOf(pairs.map(({ result }) => result.cacheBytes)) / meanOf(pairs.map(({ other }) => other.cacheBytes)),
    }),
    contextTokens: meanOf(scored.map(({ contextTokens }) => contextTokens)),
    prefillSeconds: meanOf(scored.map(({ prefillSeconds }) => prefillSeconds)),
    decodeTokensPerSecond:
      scored.reduce((sum, { decodedTokens }) => sum + decodedTokens, 0) /
      scored.reduce((sum, { decodeSeconds }) => sum + decodeSeconds, 0),
  };
}

function compare(pairs: readonly { readonly result: Result; readonly other: Result }[], resampler: Resampler) {
  const differences = pairs.map(({ result, other }) => (result.score ?? 0) - (other.score ?? 0));
  const estimate = estimateMean(differences, resampler);
  return { ...estimate, n: pairs.length, withinNoise: estimate.low <= 0 && estimate.high >= 0 };
}
