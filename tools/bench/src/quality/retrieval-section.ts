import { createResampler, estimateMean } from '@kvsift/eval';
import type { AnswerScore } from './answer-score.js';
import type { RetrievalRow } from './retrieval-rows.js';

/** One table per model, length and setting: share of digits right with its interval, exact answers and log-probability, kvpress beside ours. */
export function retrievalSection(rows: readonly RetrievalRow[], policies: readonly string[], budgets: readonly string[]): string {
  const tables = [...groupBy(rows, ({ model, length, setting }) => `${model}, ${length} tokens, question ${setting}`)];
  return tables.map(([title, own]) => `## ${title}\n\n${table(own, policies, budgets)}`).join('\n\n');
}

function table(rows: readonly RetrievalRow[], policies: readonly string[], budgets: readonly string[]): string {
  const of = (source: string) => new Map(rows.filter((row) => row.source === source).map((row) => [row.sample, row.scores]));
  const [ours, theirs] = [of('kvsift'), of('kvpress')];
  const head = ['policy', ...budgets.flatMap((budget) => (theirs.size > 0 ? [budget, `kvpress ${budget}`, ''] : [budget]))];
  const lines = policies.map((policy) => {
    const cells = budgets.flatMap((budget) => {
      const key = `${policy}@${budget}`;
      const own = cell([...ours.values()].map((scores) => scores[key]));
      if (theirs.size === 0) return [own];
      const pairs = [...ours].flatMap(([sample, scores]) => {
        const [mine, other] = [scores[key], theirs.get(sample)?.[key]];
        return mine && other ? [mine[1] - other[1]] : [];
      });
      return [own, cell([...theirs.values()].map((scores) => scores[key])), verdict(pairs)];
    });
    return `| \`${policy}\` | ${cells.join(' | ')} |`;
  });
  const full = cell([...ours.values()].map((scores) => scores['full@100%']));
  const otherFull = theirs.size > 0 ? `, kvpress without a press ${cell([...theirs.values()].map((s) => s['full@100%']))}` : '';
  return [
    `n = ${ours.size}${theirs.size > 0 ? `, kvpress n = ${theirs.size}` : ''}. Nothing evicted: ${full}${otherFull}.`,
    '',
    `| ${head.join(' | ')} |`,
    `| :-- |${head
      .slice(1)
      .map(() => ' --: |')
      .join('')}`,
    ...lines,
  ].join('\n');
}

function cell(scores: readonly (AnswerScore | undefined)[]): string {
  const known = scores.filter((score): score is AnswerScore => score !== undefined);
  if (known.length === 0) return '–';
  const digits = estimateMean(
    known.map(([, share]) => share),
    createResampler(0),
  );
  const mean = (at: 0 | 2) => known.reduce((sum, score) => sum + score[at], 0) / known.length;
  const percent = (share: number) => (100 * share).toFixed(0);
  return `${percent(digits.mean)} (${percent(digits.low)} … ${percent(digits.high)}), ${percent(mean(0))}, ${mean(2).toFixed(2)}`;
}

/** Ours less theirs on the same samples, in points of digits. */
function verdict(differences: readonly number[]): string {
  if (differences.length < 2) return '';
  const { mean, low, high } = estimateMean(differences, createResampler(0));
  const points = (share: number) => `${share < 0 ? '−' : '+'}${Math.abs(100 * share).toFixed(0)}`;
  const word = high < 0 ? '**behind**' : low > 0 ? 'ahead' : '~';
  return `${points(mean)} (${points(low)} … ${points(high)}) ${word}`;
}

function groupBy<T>(values: readonly T[], key: (value: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const value of values) groups.set(key(value), [...(groups.get(key(value)) ?? []), value]);
  return groups;
}
