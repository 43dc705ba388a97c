import type { Result } from '@kvsift/eval';
import type { ReportData } from '../combine.js';
import type { ExplorerData, ExplorerFailure } from './explorer.js';

/** Most failures that a page carries. */
const failureLimit = 1000;

/** What the page's script is given: kept tokens and failures, each text once. */
export function explorerData({ retentions, results }: ReportData): ExplorerData {
  const labels = new Map(results.map(({ policy, label }) => [policy, label]));
  const texts = new Map<string, { readonly index: number; readonly tokens: readonly string[] }>();
  const shown = retentions.map(({ key, retention }) => {
    const text = JSON.stringify(retention.tokens);
    const present = texts.get(text) ?? { index: texts.size, tokens: retention.tokens };
    texts.set(text, present);
    return {
      name: cellName(labels.get(key.policy) ?? key.policy, key.budget),
      sample: `${key.model} · ${key.suite} ${key.task} · ${key.sample}`,
      kvHeads: retention.kvHeads,
      text: present.index,
      layers: retention.layers.map((counts) => String.fromCharCode(...counts.map((count) => 48 + count))),
    };
  });
  return {
    texts: [...texts.values()].map(({ tokens }) => tokens),
    retentions: shown.sort((a, b) => a.sample.localeCompare(b.sample)),
    failures: results
      .filter(({ score }) => score === null || score < 1)
      .slice(0, failureLimit)
      .map(failure),
  };
}

/** `snapkv 20%`, `full cache` */
export function cellName(label: string, budget: string): string {
  return label === 'full' ? 'full cache' : `${label} ${budget}`;
}

function failure({ label, budget, suite, task, sample, prompt, prediction, expected, score, error }: Result): ExplorerFailure {
  const hidden = prompt.characters - [...prompt.start, ...prompt.end].length;
  return {
    cell: cellName(label, budget),
    task: suite === task ? task : `${suite} ${task}`,
    sample,
    prompt: hidden > 0 ? `${prompt.start}\n… ${hidden} characters …\n${prompt.end}` : prompt.start + prompt.end,
    prediction,
    expected: typeof expected === 'string' ? expected : JSON.stringify(expected, null, 1),
    note: error === undefined ? `score ${(score ?? 0).toFixed(2)}` : `${error.code}: ${error.message}`,
  };
}
