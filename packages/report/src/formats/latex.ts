import type { Table } from '../table.js';

/** A LaTeX tabular (needs the booktabs package). */
export function latexTable({ title, columns, rows, notes }: Table): string {
  const line = (cells: readonly string[]) => `${cells.map(escaped).join(' & ')} \\\\`;
  const comment = (text: string) => `% ${text.replace(/[\s\p{Cc}]+/gu, ' ')}`;
  return [
    ...(title === undefined ? [] : [comment(title)]),
    `\\begin{tabular}{${columns.map(({ align }) => (align === 'right' ? 'r' : 'l')).join('')}}`,
    '\\toprule',
    line(columns.map(({ title }) => title)),
    '\\midrule',
    ...rows.map(line),
    '\\bottomrule',
    '\\end{tabular}',
    ...notes.map(comment),
  ].join('\n');
}

const replacements: Readonly<Record<string, string>> = {
  '\\': '\\textbackslash{}',
  '~': '\\textasciitilde{}',
  '^': '\\textasciicircum{}',
  '<': '\\textless{}',
  '>': '\\textgreater{}',
  '|': '\\textbar{}',
  '−': '$-$',
  '–': '--',
  '…': '\\ldots{}',
};

function escaped(text: string): string {
  return text.replace(/[\s\p{Cc}]+/gu, ' ').replace(/[\\~^<>|−–…]|[&%$#_{}]/g, (symbol) => replacements[symbol] ?? `\\${symbol}`);
}
