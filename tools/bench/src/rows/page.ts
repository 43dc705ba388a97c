import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import type { Row } from './row.js';

/** What follows this line is written by people and stays. */
const prose = '## What is missed, and why';

/** Writes the rows into docs/benchmarks/<name>.md, with machine, date and commit. */
export function writePage(root: string, name: string, rows: readonly Row[], notes: readonly string[]): string {
  const path = join(root, `docs/benchmarks/${name}.md`);
  const before = readFileSync(path, { encoding: 'utf8', flag: 'a+' });
  const kept = before.includes(prose) ? before.slice(before.indexOf(prose)) : `${prose}\n`;
  const commit = execFileSync('git', ['rev-parse', '--short=12', 'HEAD'], { cwd: root, encoding: 'utf8' }).trim();
  const number = (value: number) => (value >= 100 ? value.toFixed(0) : value.toPrecision(3));
  const line = ({ name, ours, peer, ratio, goal, spread }: Row) => {
    const text = number(ratio);
    return `| ${name} | ${number(ours)} | ${number(peer)} | ${ratio >= goal ? text : `**${text}**`} | ${goal} | ${spread > 0 ? `${(100 * spread).toFixed(0)} %` : ''} |`;
  };
  const text = [
    '# The CPU against its peers and against the machine',
    '',
    `The table is written by \`npm run bench:peers -- --page ${name}\`; do not edit it by hand. ${new Date().toISOString().slice(0, 10)}, commit ${commit}, ${cpus()[0]?.model}, ${cpus().length} cores, two`,
    'threads each, peers in turn on the same files, medians. Speeds in tokens/s unless the name says otherwise; ratio to the best peer of the row, or of what is allowed to',
    'what was measured; bold where it is below the goal. The machine is shared with others: only ratios mean something.',
    '',
    '| row | ours | peer or limit | ratio | goal | spread |',
    '| :-- | --: | --: | --: | --: | --: |',
    ...rows.map(line),
    '',
    ...notes.flatMap((note) => [note, '']),
    kept,
  ].join('\n');
  writeFileSync(path, text);
  return path;
}
