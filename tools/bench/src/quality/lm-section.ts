/** A row of `kvsift lm --json`. */
export interface LmRow {
  readonly label: string;
  readonly budget: string;
  readonly perplexity: { readonly mean: number };
  readonly accuracy: number;
  readonly difference?: { readonly mean: number; readonly low: number; readonly high: number; readonly withinNoise: boolean };
  readonly tokens: number;
  readonly resampled: string;
  readonly cacheBytes: number;
  readonly curve: readonly number[];
}

/** Perplexities with a few points of their running curves. */
export function lmSection(title: string, rows: readonly LmRow[]): string {
  const length = rows[0]?.curve.length ?? 0;
  const points = [1 / 8, 1 / 4, 1 / 2, 1].map((share) => Math.round(share * length));
  const head = [
    'policy',
    'budget',
    'perplexity',
    'accuracy',
    'nats per token above full',
    'cache MiB',
    ...points.map((at) => `running, ${at}`),
  ];
  const lines = rows.map(({ label, budget, perplexity, accuracy, difference, cacheBytes, curve }) => {
    const above =
      difference &&
      `${difference.mean.toFixed(3)} (${difference.low.toFixed(3)} … ${difference.high.toFixed(3)})${difference.withinNoise ? ' ~' : ''}`;
    const cells = [perplexity.mean.toFixed(2), accuracy.toFixed(3), above ?? '', (cacheBytes / 2 ** 20).toFixed(2)];
    return `| \`${label}\` | ${[budget, ...cells, ...points.map((at) => curve[at - 1]?.toFixed(2) ?? '')].join(' | ')} |`;
  });
  return [
    `## ${title}`,
    `${rows[0]?.tokens} predicted tokens; intervals by bootstrap over ${rows[0]?.resampled}. Running: perplexity after so many predictions.`,
    [
      `| ${head.join(' | ')} |`,
      `| :-- |${head
        .slice(1)
        .map(() => ' --: |')
        .join('')}`,
      ...lines,
    ].join('\n'),
  ].join('\n\n');
}
