/** What one policy's evictions cost. */
export interface CostRow {
  readonly name: string;
  /** Of the prefill without a policy. */
  readonly share: number;
  readonly goal: number;
  readonly extraBytes: number;
  /** With half the prompt. */
  readonly halfExtraBytes: number;
  /** Time of a step, of one over the full cache. */
  readonly decode: number;
  readonly bytes: number;
  readonly fullBytes: number;
}

/** Under which circumstances. */
export interface CostFacts {
  readonly tokens: number;
  readonly budget: string;
  readonly repeat: string;
  readonly commit: string;
  readonly machine: string;
}

/** The page that keeps a run. */
export function costPage(rows: readonly CostRow[], { tokens, budget, repeat, commit, machine }: CostFacts): string {
  const percent = (value: number) => `${(100 * value).toFixed(1)} %`;
  const mebibytes = (bytes: number) => (bytes / 2 ** 20).toFixed(1);
  const lines = rows.map((row) =>
    [
      `\`${row.name}\``,
      `${row.share <= row.goal ? '' : '**'}${percent(row.share)}${row.share <= row.goal ? '' : '**'}`,
      percent(row.goal),
      mebibytes(row.extraBytes),
      (row.extraBytes / row.halfExtraBytes).toFixed(2),
      percent(row.bytes / row.fullBytes),
      percent(row.decode),
    ].join(' | '),
  );
  return `# What evicting costs

Written by \`npm run bench:policies -- --page\`; do not edit by hand. SmolLM2-135M-Instruct Q4_1, ${tokens} tokens, evicted to ${budget}, median of ${repeat}, ${new Date().toISOString().slice(0, 10)},
commit ${commit}, ${machine}, shared with other work while it was measured.

Time: scoring, selecting and compacting, from mark to mark in the stream (layer by layer the median of the repetitions, added up), as a share of the rest of the same prefill (H2O and observed attention, which add up while the layer attends: whole prefills against those without a policy); bold where it is above the goal. Extra memory: the peak beyond what the layer held
before, for the whole layer: scores, selection and the compacted copy; growth: what a prompt of twice the length takes more (2 is linear, 4 would be a matrix of all pairs). Step: one of decoding behind the prompt, as a share of
one over the full cache.

| policy | share of prefill | goal | extra MiB | growth | cache left | step |
| :-- | --: | --: | --: | --: | --: | --: |
${lines.map((line) => `| ${line} |`).join('\n')}
`;
}
