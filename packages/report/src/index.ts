export { combineRuns, type ReportData } from './combine.js';
export { csvTable } from './formats/csv.js';
export { latexTable } from './formats/latex.js';
export { markdownTable } from './formats/markdown.js';
export { terminalTable } from './formats/terminal.js';
export * from './numbers.js';
export { reportPage } from './page/load.js';
export { suiteTables } from './suite-tables.js';
export { summaryTable, type Table } from './table.js';
