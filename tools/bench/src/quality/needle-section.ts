import type { Result } from '@kvsift/eval';

/** Depth by length of the needle test, full cache and each policy at the middle budget, as text. Nothing where the run has no needles. */
export function needleSection(results: readonly Result[]): string[] {
  const needles = results.filter(({ suite, score }) => suite === 'needle' && score !== null);
  if (needles.length === 0) return [];
  const budgets = [...new Set(needles.filter(({ policy }) => policy !== 'full').map(({ budget }) => budget))];
  const middle = budgets[Math.floor(budgets.length / 2)];
  const shown = needles.filter(({ policy, budget }) => policy === 'full' || budget === middle);
  const labels = [...new Set(shown.map(({ label }) => label))];
  const lengths = numbers(shown, 'length');
  const depths = numbers(shown, 'depth');
  const head = ['policy', 'depth', ...lengths.map((length) => `${length} tokens`)];
  const rows = labels.flatMap((label) =>
    depths.map((depth, index) => {
      const cells = lengths.map((length) => {
        const found = shown.find((one) => one.label === label && one.meta?.length === length && one.meta.depth === depth);
        return found === undefined ? '' : `${(100 * (found.score ?? 0)).toFixed(0)}`;
      });
      return `| ${[index === 0 ? `\`${label}\`` : '', `${depth} %`, ...cells].join(' | ')} |`;
    }),
  );
  const rule = `|${head.map((_, index) => (index < 1 ? ' :-- |' : ' --: |')).join('')}`;
  return [`### Needle by depth and length, budget ${middle}`, [`| ${head.join(' | ')} |`, rule, ...rows].join('\n')];
}

function numbers(results: readonly Result[], name: string): number[] {
  return [...new Set(results.map(({ meta }) => Number(meta?.[name])))].sort((a, b) => a - b);
}
