import type { Table } from '../table.js';

/** A GitHub-flavoured Markdown table. */
export function markdownTable({ title, columns, rows, notes }: Table): string {
  const line = (cells: readonly string[]) => `| ${cells.map(escaped).join(' | ')} |`;
  const rule = `| ${columns.map(({ align }) => (align === 'right' ? '--:' : ':--')).join(' | ')} |`;
  const heading = title === undefined ? [] : [`**${escaped(title)}**`, ''];
  const below = ['', ...notes.map((note) => `${escaped(note)}  `)];
  return [...heading, line(columns.map(({ title: name }) => name)), rule, ...rows.map(line), ...below].join('\n');
}

function escaped(text: string): string {
  return text.replace(/[\\|<>`*_]/g, '\\$&').replace(/\s+/g, ' ');
}
