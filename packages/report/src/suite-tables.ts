import type { SuiteRow } from '@kvsift/eval';
import type { Table } from './table.js';

/** One table per suite: its tasks in the suite's own numbers. */
export function suiteTables(rows: readonly SuiteRow[]): Table[] {
  const suites = new Map<string, SuiteRow[]>();
  for (const row of rows) suites.set(row.suite, [...(suites.get(row.suite) ?? []), row]);
  return [...suites.values()].map(table);
}

function table(rows: readonly SuiteRow[]): Table {
  const names = [...new Set(rows.flatMap(({ metrics }) => Object.keys(metrics)))];
  const labels: readonly (readonly [title: string, text: (row: SuiteRow) => string])[] = [
    ['model', ({ model }) => model],
    ['task', ({ task }) => task],
    ['policy', ({ label }) => label],
    ['budget', ({ budget }) => budget],
    ['manifest', ({ apart = '' }) => apart],
  ];
  const shown = labels.filter(
    ([title, text]) => ['task', 'policy', 'budget'].includes(title) || new Set(rows.map(text)).size > 1,
  );
  const profiles = [...new Set(rows.map(({ profile }) => profile))].join(', ');
  return {
    title: `${rows[0]?.suite} as the suite reports it, profile ${profiles}`,
    columns: [
      ...shown.map(([title]) => ({ title, align: title === 'budget' ? ('right' as const) : ('left' as const) })),
      ...names.map((title) => ({ title, align: 'right' as const })),
    ],
    rows: rows.map((row) => [...shown.map(([, text]) => text(row)), ...names.map((name) => number(row.metrics[name]))]),
    notes: [],
  };
}

/** As the suite rounds it; four decimals where it does not. */
function number(value: number | null | undefined): string {
  return typeof value === 'number' && Number.isFinite(value) ? `${Math.round(value * 1e4) / 1e4}` : '–';
}
