import type { Result } from '@kvsift/eval';
import { heatMapOf } from '@kvsift/eval-needle';
import { type HeatCell, heatChart } from './charts.js';
import type { Html } from './html.js';
import { cellName } from './payload.js';

/** Most rows of depths before they are put into tenths. */
const depthLimit = 12;

/** A chart and what it shows. */
export interface HeatFigure {
  readonly chart: Html;
  readonly caption: string;
}

/** Heat maps of a task's results: depth × length for each cell, or depth × cell where all texts have one length. Empty where there are no depths. */
export function heatMaps(results: readonly Result[]): HeatFigure[] {
  const binned = binDepths(results);
  const names = [...new Set(results.map(({ label, budget }) => cellName(label, budget)))];
  const maps = names.map((name) => ({
    name,
    map: heatMapOf(binned.filter(({ label, budget }) => cellName(label, budget) === name)),
  }));
  const depths = new Set(maps.flatMap(({ map }) => map.depths));
  if (depths.size < 2) return [];
  if (maps.every(({ map }) => map.lengths.length === 1)) {
    const cells = maps.flatMap(({ name, map }) =>
      [...depths]
        .sort((a, b) => a - b)
        .map(
          (depth): HeatCell => ({
            x: `${depth}%`,
            y: name,
            value: map.values[map.depths.indexOf(depth)]?.[0] ?? null,
          }),
        ),
    );
    const chart = heatChart('Accuracy by depth of the answer in the text', cells, 'depth of the answer in the text');
    return [{ chart, caption: 'Mean accuracy.' }];
  }
  return maps.map(({ name, map }) => {
    const cells = map.depths.flatMap((depth, row) =>
      map.lengths.map(
        (length, column): HeatCell => ({ x: `${length}`, y: `${depth}%`, value: map.values[row]?.[column] ?? null }),
      ),
    );
    return { chart: heatChart(name, cells, 'tokens of the text'), caption: `${name}: mean accuracy by length and depth.` };
  });
}

/** Depths rounded to tenths where there are many different ones. */
function binDepths(results: readonly Result[]): readonly Result[] {
  const depthOf = ({ meta }: Result) => (typeof meta?.depth === 'number' ? meta.depth : undefined);
  if (new Set(results.map(depthOf)).size <= depthLimit) return results;
  return results.map((result) => {
    const depth = depthOf(result);
    return depth === undefined
      ? result
      : { ...result, meta: { ...result.meta, depth: Math.min(90, 10 * Math.floor(depth / 10)) } };
  });
}
