/** One figure of a run. */
export interface EvalRow {
  readonly name: string;
  readonly ours: number;
  readonly goal: number;
  readonly unit: 's' | 'share';
  readonly length: number;
  readonly samples: number;
  readonly modelSeconds: number;
}

/** Under which circumstances. */
export interface EvalFacts {
  readonly commit: string;
  readonly machine: string;
}

/** The page that keeps a run. */
export function evalPage(rows: readonly EvalRow[], { commit, machine }: EvalFacts): string {
  const text = (value: number, unit: EvalRow['unit']) =>
    unit === 's' ? `${value.toFixed(2)} s` : `${(100 * value).toFixed(2)} %`;
  const lines = rows.map(({ name, ours, goal, unit, samples, modelSeconds }) => {
    const shown = ours <= goal ? text(ours, unit) : `**${text(ours, unit)}**`;
    return `| ${name} | ${shown} | ${text(goal, unit)} | ${samples} | ${modelSeconds.toFixed(1)} |`;
  });
  return `# What the evaluation loop costs

Written by \`npm run bench:eval -- --page\`; do not edit by hand. \`kvsift eval run\`, SmolLM2-135M-Instruct Q4_1 on the cpu backend, RULER (\`niah_single_1\`, \`vt\`), full cache and SnapKV at 20 %,
${new Date().toISOString().slice(0, 10)}, commit ${commit}, ${machine}, shared with other work while it was measured.

Start: from the start of the process until the first sample starts, without loading weights: modules, headers and tokenizer, all samples made and fingerprinted, the manifest. Taken as the moment at which the first line lies in \`results.jsonl\`, less what
that sample and the weights took. Loop: of the time from the start of the first sample until the last line is on the disk, loading weights left out, the share in which the model neither read, evicted nor decoded, from the
\`seconds\` of the run's outcome: prompts, tokenising, sessions, scores, lines, what is waited for the disk. Bold: above the goal.

| | measured | goal | samples | seconds of the model |
| :-- | --: | --: | --: | --: |
${lines.join('\n')}
`;
}
