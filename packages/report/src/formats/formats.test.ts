import type { SuiteRow, SummaryRow } from '@kvsift/eval';
import { describe, expect, it } from 'vitest';
import { suiteTables } from '../suite-tables.js';
import { summaryTable } from '../table.js';
import { csvTable } from './csv.js';
import { latexTable } from './latex.js';
import { markdownTable } from './markdown.js';
import { terminalTable } from './terminal.js';

const row = (label: string, extra: Partial<SummaryRow> = {}): SummaryRow => ({
  ...{
    model: 'demo',
    suite: 'facts',
    task: 'facts',
    policy: `${label}(window=16)`,
    label,
    budget: '20%',
    n: 20,
    failed: 0,
    manifests: ['m1'],
  },
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

  it('says what an interval of no width is worth', () => {
    const certain = /all n samples scored alike; the true mean may still lie about 3\/n away/;
    expect(summaryTable([full]).notes.join()).not.toMatch(certain);
    expect(summaryTable([full, row('x', { score: { mean: 1, low: 1, high: 1 } })]).notes.join()).toMatch(certain);
  });

  it('shows what was kept where a policy ignores budgets', () => {
    const rows = [full, row('threshold', { budget: 'own', cacheShare: 0.1234 }), row('threshold', { budget: 'own' })];
    expect(summaryTable(rows).rows.map(([, budget]) => budget)).toEqual(['100%', 'own: 12%', 'own']);
  });

  it('shows model, suite, task and failures only where they tell rows apart', () => {
    const titles = summaryTable([full, row('x', { model: 'other', failed: 2 })]).columns.map(({ title }) => title);
    expect(titles).toContain('model');
    expect(titles).toContain('failed');
    expect(titles).not.toContain('task');
  });

  it('names manifests where rows of one model and suite have several', () => {
    const titles = (rows: readonly SummaryRow[]) => summaryTable(rows).columns.map(({ title }) => title);
    expect(titles([full, row('x', { model: 'other', manifests: ['m2'] })])).not.toContain('manifest');
    const mixed = [full, row('x', { manifests: ['m1', 'm2'] })];
    expect(titles(mixed)).toContain('manifest');
    expect(summaryTable(mixed).rows[1]).toContain('m1, m2');
  });

  it('has dashes, not NaN, where nothing was measured', () => {
    const nothing = { mean: Number.NaN, low: Number.NaN, high: Number.NaN };
    const empty = row('x', { n: 0, failed: 3, score: nothing, cacheBytes: Number.NaN, decodeTokensPerSecond: Number.NaN });
    expect(summaryTable([empty]).rows.flat().join(' ')).not.toContain('NaN');
    expect(csvTable([empty])).not.toContain('NaN');
  });
});

describe('suiteTables', () => {
  const suiteRow = (task: string, label: string, metrics: SuiteRow['metrics']): SuiteRow => ({
    ...{ model: 'demo', suite: 'longbench-e', task, policy: label, label, budget: '20%', profile: 'reference', metrics },
  });

  it("holds each suite's own numbers, a table per suite", () => {
    const rows = [
      suiteRow('hotpotqa', 'full', { '0-4k': 33.33, '4-8k': null, n: 4 }),
      suiteRow('trec', 'full', { '0-4k': 1 / 3, n: 4 }),
      { ...suiteRow('vt', 'full', { empty: 1 }), suite: 'ruler-4096' },
    ];
    expect(suiteTables(rows)).toEqual([
      {
        title: 'longbench-e as the suite reports it, profile reference',
        columns: ['task', 'policy', 'budget', '0-4k', '4-8k', 'n'].map((title, index) => ({
          title,
          align: index < 2 ? 'left' : 'right',
        })),
        rows: [
          ['hotpotqa', 'full', '20%', '33.33', '–', '4'],
          ['trec', 'full', '20%', '0.3333', '–', '4'],
        ],
        notes: [],
      },
      expect.objectContaining({ title: 'ruler-4096 as the suite reports it, profile reference' }),
    ]);
  });

  it('has its title in every format', () => {
    const [table] = suiteTables([suiteRow('a_b', 'full', { n: 1 })]);
    if (table === undefined) throw new Error('no table');
    const title = 'longbench-e as the suite reports it';
    expect(terminalTable(table).split('\n')[0]).toContain(title);
    expect(markdownTable(table)).toMatch(new RegExp(`^\\*\\*${title}`));
    expect(latexTable(table)).toMatch(new RegExp(`^% ${title}`));
  });
});

describe('formats', () => {
  const hostile = row('a|b_c&d%\u001b[2J"e"\n<f>', { policy: 'x,"y"\nz' });

  it('LaTeX leaves no bare special character', () => {
    const [line = ''] = latexTable(summaryTable([hostile]))
      .split('\n')
      .slice(4);
    expect(line).toMatch(/^a\\textbar\{\}b\\_c\\&d\\%.*\\textless\{\}f\\textgreater\{\}/);
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
    expect(at('difference_n')).toBe('20');
    expect(at('manifest')).toBe('m1');
    expect(csvTable([hostile])).toContain('"x,""y""\nz"');
  });

  it('the terminal gets no control characters from names', () => {
    expect(terminalTable(summaryTable([hostile]))).not.toContain('\u001b');
  });

  it('notes stay one line each, whatever they quote', () => {
    const table = { ...summaryTable([full]), notes: ['error <b>\n\\end{tabular} \u001b[2J'] };
    expect(terminalTable(table).split('\n').at(-1)).toContain('\\end');
    expect(terminalTable(table)).not.toContain('\u001b');
    expect(latexTable(table).split('\n').at(-1)).toMatch(/^% error .*end/);
    expect(markdownTable(table).split('\n').at(-1)).toMatch(/^error \\<b.*end/);
  });
});
