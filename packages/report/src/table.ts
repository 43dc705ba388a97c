import { ownBudget, type SummaryRow } from '@kvsift/eval';
import type { ReportData } from './combine.js';
import { runNotes } from './notes.js';
import { formatBytes, formatDifference, formatRate, formatScore, formatSeconds } from './numbers.js';

/** A table as text, before a format draws it. */
export interface Table {
  /** Above the table, where there are several. */
  readonly title?: string;
  readonly columns: readonly { readonly title: string; readonly align: 'left' | 'right' }[];
  readonly rows: readonly (readonly string[])[];
  /** Sentences below the table. */
  readonly notes: readonly string[];
}

interface Column {
  readonly title: string;
  readonly align: 'left' | 'right';
  readonly text: (row: SummaryRow) => string;
  /** Left out where it would say nothing. */
  readonly shown: (rows: readonly SummaryRow[]) => boolean;
}

const several =
  (key: (row: SummaryRow) => string) =>
  (rows: readonly SummaryRow[]): boolean =>
    new Set(rows.map(key)).size > 1;

const columns: readonly Column[] = [
  { title: 'model', align: 'left', text: ({ model }) => model, shown: several(({ model }) => model) },
  { title: 'suite', align: 'left', text: ({ suite }) => suite, shown: several(({ suite }) => suite) },
  { title: 'task', align: 'left', text: ({ task }) => task, shown: several(({ task }) => task) },
  { title: 'policy', align: 'left', text: ({ label }) => label, shown: () => true },
  { title: 'budget', align: 'right', text: budgetText, shown: () => true },
  { title: 'manifest', align: 'left', text: ({ manifests }) => manifests.join(', '), shown: areMixed },
  { title: 'accuracy', align: 'right', text: ({ score }) => formatScore(score.mean), shown: () => true },
  {
    title: '95 % interval',
    align: 'right',
    text: ({ score, n }) => (n === 0 ? '–' : `${formatScore(score.low)} … ${formatScore(score.high)}`),
    shown: () => true,
  },
  { title: 'n', align: 'right', text: ({ n }) => `${n}`, shown: () => true },
  {
    title: 'against full',
    align: 'right',
    text: ({ difference }) => (difference ? `${formatDifference(difference.mean)}${difference.withinNoise ? ' ~' : ''}` : ''),
    shown: (rows) => rows.some(({ difference }) => difference !== undefined),
  },
  { title: 'cache', align: 'right', text: ({ cacheBytes }) => formatBytes(cacheBytes), shown: () => true },
  { title: 'prefill', align: 'right', text: ({ prefillSeconds }) => formatSeconds(prefillSeconds), shown: () => true },
  { title: 'decode tokens/s', align: 'right', text: (row) => formatRate(row.decodeTokensPerSecond), shown: () => true },
  { title: 'failed', align: 'right', text: ({ failed }) => `${failed}`, shown: (rows) => rows.some(({ failed }) => failed > 0) },
];

/** The budget; where a policy ignores it, what its parameters kept. */
function budgetText({ budget, cacheShare }: SummaryRow): string {
  return budget === ownBudget && cacheShare !== undefined ? `${budget}: ${Math.round(100 * cacheShare)}%` : budget;
}

/** Whether rows of one model and suite come from several manifests. */
function areMixed(rows: readonly SummaryRow[]): boolean {
  const sets = new Set(rows.map(({ model, suite }) => JSON.stringify([model, suite])));
  return new Set(rows.map(({ model, suite, manifests }) => JSON.stringify([model, suite, manifests]))).size > sets.size;
}

/**
 * The table of a summary: accuracy with n and interval, cache bytes as held, times.
 * @param data what the rows were made of: notes then say why samples failed, what was left out, and under which circumstances it ran
 */
export function summaryTable(rows: readonly SummaryRow[], data?: Pick<ReportData, 'results' | 'manifests'>): Table {
  const shown = columns.filter((column) => column.shown(rows));
  const notes = ['Accuracy is the mean of n samples, its interval from 1,000 bootstrap resamples.'];
  // Resampling equal scores gives an interval of no width, which reads as certainty. The rule of three says what it is worth.
  if (rows.some(({ n, score }) => n > 0 && score.low === score.high)) {
    notes.push('An interval of one number says that all n samples scored alike; the true mean may still lie about 3/n away.');
  }
  if (rows.some(({ difference }) => difference !== undefined)) {
    notes.push('"Against full" compares sample by sample with the full cache; ~ marks what is within noise.');
  }
  if (data !== undefined) notes.push(...runNotes(data));
  return {
    columns: shown.map(({ title, align }) => ({ title, align })),
    rows: rows.map((row) => shown.map(({ text }) => text(row))),
    notes,
  };
}
