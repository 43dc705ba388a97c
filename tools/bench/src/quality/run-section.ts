import { type Result, type SummaryRow, summarize } from '@kvsift/eval';

/** One table per model and suite: policies down, budgets across, all tasks of the suite together; then one line per task for the full cache. */
export function runSection(results: readonly Result[]): string {
  const merged = results.map((result) => ({ ...result, task: 'all', sample: `${result.task}/${result.sample}` }));
  const groups = groupBy(summarize(merged), ({ model, suite }) => `${model}, ${suite}`);
  const tasks = groupBy(
    summarize(results).filter(({ policy }) => policy === 'full'),
    ({ model, suite }) => `${model}, ${suite}`,
  );
  return [...groups].map(([title, rows]) => table(title, rows, tasks.get(title) ?? [])).join('\n\n');
}

function table(title: string, rows: readonly SummaryRow[], tasks: readonly SummaryRow[]): string {
  const full = rows.find(({ policy }) => policy === 'full');
  const others = rows.filter(({ policy }) => policy !== 'full');
  const budgets = [...new Set(others.map(({ budget }) => budget))];
  const policies = groupBy(others, ({ label }) => label);
  const lines = [...policies].map(([label, of]) => {
    const cells = budgets.map((budget) => cell(of.find((row) => row.budget === budget)));
    return `| \`${label}\` | ${cells.join(' | ')} |`;
  });
  return [
    `### ${title}`,
    `Full cache: **${percent(full?.score.mean)}**, n = ${full?.n}${full?.failed ? `, ${full.failed} failed` : ''} (${tasks.map((row) => `${row.task} ${percent(row.score.mean)}`).join(', ')}).`,
    [`| policy | ${budgets.join(' | ')} |`, `| :-- |${budgets.map(() => ' --: |').join('')}`, ...lines].join('\n'),
  ].join('\n\n');
}

function cell(row: SummaryRow | undefined): string {
  if (row === undefined) return '';
  const { score, difference, n, failed } = row;
  if (n === 0) return `${failed} failed`;
  const against =
    difference === undefined
      ? ''
      : ` (${signed(difference.low)} … ${signed(difference.high)})${difference.withinNoise ? ' ~' : ''}`;
  return `${percent(score.mean)}${against}${failed > 0 ? `, ${failed} failed` : ''}`;
}

const percent = (share: number | undefined) => (share === undefined ? '–' : (100 * share).toFixed(1));
const signed = (share: number) => `${share < 0 ? '−' : '+'}${Math.abs(100 * share).toFixed(0)}`;

function groupBy<T>(values: readonly T[], key: (value: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const value of values) groups.set(key(value), [...(groups.get(key(value)) ?? []), value]);
  return groups;
}
