import type { Result } from '@kvsift/eval';
import { heatMapOf } from '@kvsift/eval-needle';

/** Depth by length of the needle test, full cache and each policy at the middle budget, as text. Nothing where the run has no needles. */
export function needleSection(results: readonly Result[]): string[] {
  const needles = results.filter(({ suite, score }) => suite === 'needle' && score !== null);
  if (needles.length === 0) return [];
  const budgets = [...new Set(needles.filter(({ policy }) => policy !== 'full').map(({ budget }) => budget))];
  const middle = budgets[Math.floor(budgets.length / 2)];
  const shown = needles.filter(({ policy, budget }) => policy === 'full' || budget === middle);
  const { lengths } = heatMapOf(shown);
  const head = ['policy', 'depth', ...lengths.map((length) => `${length} tokens`)];
  const labels = [...new Set(shown.map(({ label }) => label))];
  const rows = labels.flatMap((label) => {
    const { depths, values } = heatMapOf(shown.filter((result) => result.label === label));
    return depths.map((depth, row) => {
      const cells = (values[row] ?? []).map((mean) => (mean === null ? '' : (100 * mean).toFixed(0)));
      return `| ${[row === 0 ? `\`${label}\`` : '', `${depth} %`, ...cells].join(' | ')} |`;
    });
  });
  const cells = new Set(shown.map(({ meta }) => `${meta?.length} ${meta?.depth}`)).size;
  const trials = shown.filter(({ policy }) => policy === 'full').length / cells;
  const rule = `|${head.map((_, index) => (index < 1 ? ' :-- |' : ' --: |')).join('')}`;
  return [
    `### Needle by depth and length, budget ${middle}, n = ${trials} for each cell`,
    [`| ${head.join(' | ')} |`, rule, ...rows].join('\n'),
  ];
}
