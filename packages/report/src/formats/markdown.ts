import type { Table } from '../table.js';

/** A GitHub-flavoured Markdown table. */
export function markdownTable({ columns, rows, notes }: Table): string {
  const line = (cells: readonly string[]) => `| ${cells.map(escaped).join(' | ')} |`;
  const rule = `| ${columns.map(({ align }) => (align === 'right' ? '--:' : ':--')).join(' | ')} |`;
  return [line(columns.map(({ title }) => title)), rule, ...rows.map(line), '', ...notes.map((note) => `${note}  `)].join('\n');
}

function escaped(text: string): string {
  return text.replace(/[\\|<>`*_]/g, '\\$&').replace(/\s+/g, ' ');
}
