import type { SummaryRow } from '@kvsift/eval';
import { describe, expect, it } from 'vitest';
import { summaryTable } from '../table.js';
import { csvTable } from './csv.js';
import { latexTable } from './latex.js';
import { markdownTable } from './markdown.js';
import { terminalTable } from './terminal.js';

const row = (label: string, extra: Partial<SummaryRow> = {}): SummaryRow => ({
  ...{ model: 'demo', suite: 'facts', task: 'facts', policy: `${label}(window=16)`, label, budget: '20%', n: 20, failed: 0 },
  ...{ score: { mean: 0.456, low: 0.25, high: 0.7 }, cacheBytes: 209_715.2, contextTokens: 1024 },
  ...{ prefillSeconds: 0.0421, decodeTokensPerSecond: 1234.5, ...extra },
});
const full = row('full', { policy: 'full', budget: '100%', cacheBytes: 2 ** 20 });
const snapkv = row('snapkv', { difference: { mean: -0.2, low: -0.4, high: 0.1, n: 20, withinNoise: true }, cacheShare: 0.2 });

describe('summaryTable', () => {
  it('writes numbers as people read them', () => {
    const { columns, rows } = summaryTable([full, snapkv]);
    expect(columns.map(({ title }) => title)).toEqual([
      ...['policy', 'budget', 'accuracy', '95 % interval', 'n', 'against full', 'cache', 'prefill', 'decode tokens/s'],
    ]);
    expect(rows[1]).toEqual(['snapkv', '20%', '0.46', '0.25 … 0.70', '20', '−0.20 ~', '205 KiB', '0.042 s', '1235']);
  });

  it('shows model, suite, task and failures only where they tell rows apart', () => {
    const titles = summaryTable([full, row('x', { model: 'other', failed: 2 })]).columns.map(({ title }) => title);
    expect(titles).toContain('model');
    expect(titles).toContain('failed');
    expect(titles).not.toContain('task');
  });

  it('has dashes, not NaN, where nothing was measured', () => {
    const nothing = { mean: Number.NaN, low: Number.NaN, high: Number.NaN };
    const empty = row('x', { n: 0, failed: 3, score: nothing, cacheBytes: Number.NaN, decodeTokensPerSecond: Number.NaN });
    expect(summaryTable([empty]).rows.flat().join(' ')).not.toContain('NaN');
    expect(csvTable([empty])).not.toContain('NaN');
  });
});

describe('formats', () => {
  const hostile = row('a|b_c&d%\u001b[2J"e"\n<f>', { policy: 'x,"y"\nz' });

  it('LaTeX leaves no bare special character', () => {
    const [line = ''] = latexTable(summaryTable([hostile]))
      .split('\n')
      .slice(4);
    expect(line).toMatch(/^a\|b\\_c\\&d\\%/);
    expect(line.match(/(?<!\\)&/g)).toHaveLength(summaryTable([hostile]).columns.length - 1);
  });

  it('Markdown keeps the number of cells', () => {
    const [head = '', , line = ''] = markdownTable(summaryTable([hostile])).split('\n');
    const cells = (text: string) => text.match(/(?<!\\)\|/g)?.length;
    expect(cells(line)).toBe(cells(head));
    expect(line).not.toMatch(/(?<!\\)</);
  });

  it('CSV quotes what it must, unrounded', () => {
    const [head = '', line = ''] = csvTable([snapkv]).split('\n');
    const at = (name: string) => line.split(',')[head.split(',').indexOf(name)];
    expect(at('score')).toBe('0.456');
    expect(at('within_noise')).toBe('true');
    expect(csvTable([hostile])).toContain('"x,""y""\nz"');
  });

  it('the terminal gets no control characters from names', () => {
    expect(terminalTable(summaryTable([hostile]))).not.toContain('\u001b');
  });
});
