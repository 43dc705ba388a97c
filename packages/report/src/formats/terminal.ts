import CliTable from 'cli-table3';
import { createColors } from 'picocolors';
import type { Table } from '../table.js';

/** A table for a terminal. `color` adds bold titles. */
export function terminalTable(table: Table, color = false): string {
  const { bold } = createColors(color);
  const drawn = new CliTable({
    head: table.columns.map(({ title }) => bold(title)),
    colAligns: table.columns.map(({ align }) => align),
    style: { head: [], border: [], compact: true },
  });
  drawn.push(...table.rows.map((row) => row.map(oneLine)));
  const title = table.title === undefined ? [] : [bold(oneLine(table.title))];
  return [...title, drawn.toString(), ...table.notes.map(oneLine)].join('\n');
}

/** Control characters would move the cursor: names come from files. */
function oneLine(text: string): string {
  return text.replace(/\p{Cc}/gu, '�');
}
