import type { SummaryRow } from '@kvsift/eval';
import * as Plot from '@observablehq/plot';
import { DOMParser } from 'linkedom';
import { formatBytes } from '../numbers.js';
import { type Html, trusted } from './html.js';

/** Colours of budgets, from the largest to the smallest; CSS variables, so that they follow light and dark. */
const budgetColors = ['var(--s1)', 'var(--s2)', 'var(--s3)', 'var(--s4)', 'var(--s5)', 'var(--s6)'];

/** One row of a chart: a cell with its names. */
interface Point {
  readonly name: string;
  readonly label: string;
  readonly budget: string;
  readonly score: number;
  readonly low: number;
  readonly high: number;
  readonly bytes: number;
  readonly prefill: number;
  readonly rate: number;
}

const points = (rows: readonly SummaryRow[]): Point[] =>
  rows.map(({ label, budget, score, cacheBytes, prefillSeconds, decodeTokensPerSecond }) => ({
    ...{ name: label === 'full' ? 'full cache' : `${label} ${budget}`, label, budget },
    ...{ score: score.mean, low: score.low, high: score.high },
    ...{ bytes: cacheBytes, prefill: prefillSeconds, rate: decodeTokensPerSecond },
  }));

const budgetsOf = (rows: readonly SummaryRow[]) => [
  ...new Set(rows.filter(({ policy }) => policy !== 'full').map(({ budget }) => budget)),
];
const colorScale = (rows: readonly SummaryRow[]): Plot.ScaleOptions => ({
  domain: budgetsOf(rows),
  range: budgetColors,
  legend: false,
});

/** Draws to SVG text without a browser. */
function draw(title: string, options: Plot.PlotOptions): Html {
  // An XML document: in an HTML one linkedom writes the text of <title> unescaped.
  const document = new DOMParser().parseFromString('<html><body></body></html>', 'text/xml');
  const drawn = Plot.plot({
    ...options,
    document: document as unknown as Document,
    style: { background: 'none', color: 'inherit' },
  });
  const svg = drawn.tagName.toLowerCase() === 'svg' ? drawn : drawn.querySelector('svg');
  svg?.setAttribute('role', 'img');
  svg?.setAttribute('aria-label', title);
  svg?.setAttribute('xmlns', 'http://www.w3.org/2000/svg');
  return trusted(drawn.outerHTML);
}

/** Most characters of a label; the rest of a longer name is in its title. */
const labelLimit = 44;
const shortened = (name: string) => (name.length > labelLimit ? `${name.slice(0, labelLimit - 1)}…` : name);

/** Room for the longest label in pixels. */
const labelWidth = (names: readonly string[]) => 24 + 7.4 * Math.max(4, ...names.map((name) => shortened(name).length));

/** Accuracy of each policy at each budget with its interval, best first; the full cache as a line across. */
export function qualityChart(rows: readonly SummaryRow[]): Html {
  const full = rows.find(({ policy }) => policy === 'full');
  const shown = points(rows.filter(({ policy }) => policy !== 'full'));
  const best = new Map<string, number>();
  for (const { label, score } of shown) best.set(label, Math.max(best.get(label) ?? 0, score));
  const labels = [...best].sort(([, a], [, b]) => b - a).map(([label]) => label);
  const budgets = budgetsOf(rows);
  const offset = (budget: string) => (budgets.indexOf(budget) - (budgets.length - 1) / 2) * Math.min(6, 16 / budgets.length);
  return draw('Accuracy of each policy at each budget', {
    width: 760,
    height: 66 + labels.length * 26,
    marginBottom: 42,
    marginLeft: labelWidth(labels),
    x: { domain: [0, 1], label: 'accuracy', grid: true },
    y: { domain: labels, label: null, tickSize: 0, tickFormat: shortened },
    color: colorScale(rows),
    marks: [
      ...(full ? [Plot.ruleX([full.score.mean], { stroke: 'var(--full)', strokeWidth: 2, strokeDasharray: '4 3' })] : []),
      ...budgets.flatMap((budget) => {
        const some = shown.filter((point) => point.budget === budget);
        return [
          Plot.link(some, {
            x1: 'low',
            x2: 'high',
            y: 'label',
            stroke: 'budget',
            strokeOpacity: 0.45,
            strokeWidth: 2,
            dy: offset(budget),
          }),
          Plot.dot(some, { x: 'score', y: 'label', fill: 'budget', r: 4.5, dy: offset(budget), title: 'name' }),
        ];
      }),
    ],
  });
}

/** Accuracy against the bytes that the cache holds; the full cache is the ring. */
export function bytesChart(rows: readonly SummaryRow[]): Html {
  const all = points(rows).filter(({ bytes, score }) => bytes > 0 && Number.isFinite(score));
  // Names of neighbouring budgets lie above and below their points in turn, so that they keep off each other.
  const best = bestPerBudget(all).sort((a, b) => a.bytes - b.bytes);
  const names = best.map((point, index) => {
    const side = point.label === 'full' ? { dx: 9, dy: 0 } : { dx: 5, dy: index % 2 === 0 ? -9 : 10 };
    const text = { x: 'bytes', y: 'score', text: ({ name }: Point) => shortened(name), textAnchor: 'start' } as const;
    return Plot.text([point], { ...text, ...side, fill: 'currentColor', fontSize: 11 });
  });
  return draw('Accuracy against cache bytes', {
    width: 760,
    height: 340,
    marginLeft: 50,
    marginRight: 110,
    marginBottom: 42,
    x: {
      type: 'log',
      base: 2,
      label: 'cache bytes as held',
      grid: true,
      tickFormat: (value: number) => formatBytes(value),
      ticks: 4,
    },
    // Room for the names of points at both ends.
    y: { domain: [0, 1], label: 'accuracy', grid: true, insetTop: 18, insetBottom: 18 },
    color: colorScale(rows),
    marks: [
      Plot.dot(
        all.filter(({ label }) => label !== 'full'),
        { x: 'bytes', y: 'score', fill: 'budget', r: 4.5, fillOpacity: 0.85, title: 'name' },
      ),
      Plot.dot(
        all.filter(({ label }) => label === 'full'),
        { x: 'bytes', y: 'score', stroke: 'var(--full)', strokeWidth: 2.5, r: 6, title: 'name' },
      ),
      ...names,
    ],
  });
}

/** One label per budget: the best. All of them would lie on each other. */
function bestPerBudget(all: readonly Point[]): Point[] {
  const best = new Map<string, Point>();
  for (const point of all) {
    const present = best.get(point.budget);
    if (present === undefined || point.score > present.score) best.set(point.budget, point);
  }
  return [...best.values()];
}

/** Seconds to read the prompt, or tokens per second while answering, for each cell. */
export function timeChart(rows: readonly SummaryRow[], measure: 'prefill' | 'rate'): Html {
  const all = points(rows).filter((point) => Number.isFinite(point[measure]));
  const names = all.map(({ name }) => name);
  const label = measure === 'prefill' ? 'seconds to read the prompt' : 'tokens per second while answering';
  return draw(label, {
    width: 760,
    height: 62 + all.length * 18,
    marginBottom: 42,
    marginLeft: labelWidth(names),
    x: { label, grid: true, zero: true },
    y: { domain: names, label: null, tickSize: 0, tickFormat: shortened },
    color: colorScale(rows),
    marks: [
      Plot.barX(
        all.filter(({ label: policy }) => policy !== 'full'),
        { x: measure, y: 'name', fill: 'budget', insetTop: 2, insetBottom: 2, title: 'name' },
      ),
      Plot.barX(
        all.filter(({ label: policy }) => policy === 'full'),
        { x: measure, y: 'name', fill: 'var(--full)', insetTop: 2, insetBottom: 2 },
      ),
      Plot.ruleX([0]),
    ],
  });
}

/** A square of a heat map. */
export interface HeatCell {
  readonly x: string;
  readonly y: string;
  readonly value: number | null;
}

/** Squares coloured by a score of 0 … 1, with the score written in them. */
export function heatChart(title: string, cells: readonly HeatCell[], xLabel: string): Html {
  const columns = [...new Set(cells.map(({ x }) => x))];
  const rows = [...new Set(cells.map(({ y }) => y))];
  const scored = cells.filter(({ value }) => value !== null);
  return draw(title, {
    width: Math.max(360, labelWidth(rows) + 30 + columns.length * 56),
    height: 66 + rows.length * 24,
    marginBottom: 42,
    marginLeft: labelWidth(rows),
    padding: 0.06,
    x: { domain: columns, label: xLabel, tickSize: 0 },
    y: { domain: rows, label: null, tickSize: 0, tickFormat: shortened },
    opacity: { domain: [0, 1], range: [0.06, 1] },
    marks: [
      Plot.cell(scored, { x: 'x', y: 'y', fill: 'var(--heat)', fillOpacity: 'value', stroke: 'var(--line)' }),
      Plot.text(scored, {
        x: 'x',
        y: 'y',
        text: ({ value }: HeatCell) => (value ?? 0).toFixed(2),
        fill: ({ value }: HeatCell) => ((value ?? 0) > 0.55 ? 'var(--on-heat)' : 'var(--ink)'),
        fontSize: 10,
      }),
    ],
  });
}

/** Names and colours of the budgets in the charts above. */
export function budgetLegend(rows: readonly SummaryRow[]): readonly { readonly name: string; readonly color: string }[] {
  const budgets = budgetsOf(rows).map((name, index) => ({ name, color: budgetColors[index % budgetColors.length] ?? '' }));
  return [...budgets, { name: 'full cache', color: 'var(--full)' }];
}
