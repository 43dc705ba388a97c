import { type StoredRun, type SummaryRow, summarize } from '@kvsift/eval';
import {
  combineRuns,
  csvTable,
  latexTable,
  markdownTable,
  type ReportData,
  suiteTables,
  summaryTable,
  type Table,
  terminalTable,
} from '@kvsift/report';
import { suiteOf } from './suites.js';

/** How results are printed. */
export const reportFormats = ['terminal', 'markdown', 'csv', 'latex'] as const;
export type ReportFormat = (typeof reportFormats)[number];

/** The results of runs as every command shows them. */
export interface RunReport {
  readonly data: ReportData;
  readonly rows: readonly SummaryRow[];
}

/** @throws KvsiftError as `combineRuns` */
export function reportOf(runs: readonly StoredRun[], mix = false): RunReport {
  const data = combineRuns(runs, mix, suiteOf);
  return { data, rows: summarize(data.results) };
}

/** The summary, and below it what the suites make of the results themselves; CSV has the summary alone. */
export function reportText({ data, rows }: RunReport, format: ReportFormat = 'terminal'): string {
  if (format === 'csv') return csvTable(rows);
  const draw: (table: Table) => string = { terminal: terminalTable, markdown: markdownTable, latex: latexTable }[format];
  return [summaryTable(rows, data), ...suiteTables(data.suites)].map((table) => draw(table)).join('\n\n');
}

/** The same for programs. */
export function reportJson({ data, rows }: RunReport) {
  return { rows, suites: data.suites, manifests: Object.fromEntries(data.manifests) };
}
