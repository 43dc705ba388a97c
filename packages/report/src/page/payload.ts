import type { Result, ResultKey, SummaryRow } from '@kvsift/eval';
import type { ReportData } from '../combine.js';
import type { ExplorerData, ExplorerFailure } from './explorer.js';

/** Most failures that a page carries. */
const failureLimit = 1000;

/** What the page's script is given, each text once: kept tokens and failures, of the latter as many of each policy and budget as there is room for. */
export function explorerData(
  { retentions, results }: ReportData,
  rows: readonly SummaryRow[],
): ExplorerData & { /** All of them, shown or not. */ readonly failed: number } {
  const labels = new Map(results.map(({ policy, label }) => [policy, label]));
  const separate = new Set(rows.filter(({ apart }) => apart !== undefined).map(({ model, suite }) => `${model} ${suite}`));
  const nameOf = ({ model, suite, manifest, policy, budget }: ResultKey) => {
    const name = cellName(labels.get(policy) ?? policy, budget);
    return separate.has(`${model} ${suite}`) ? `${name}, manifest ${manifest}` : name;
  };
  const texts = new Map<string, { readonly index: number; readonly tokens: readonly string[] }>();
  const shown = retentions.map(({ key, retention }) => {
    const text = JSON.stringify(retention.tokens);
    const present = texts.get(text) ?? { index: texts.size, tokens: retention.tokens };
    texts.set(text, present);
    return {
      name: nameOf(key),
      sample: `${key.model} · ${key.suite} ${key.task} · ${key.sample}`,
      kvHeads: retention.kvHeads,
      text: present.index,
      layers: retention.layers.map((counts) => counts.map((count) => String.fromCharCode(48 + count)).join('')),
    };
  });
  const severalModels = new Set(results.map(({ model }) => model)).size > 1;
  const failures = new Map<string, ExplorerFailure[]>();
  for (const result of results) {
    if (result.score !== null && result.score >= 1) continue;
    const cell = nameOf(result);
    const present = failures.get(cell) ?? [];
    const failed = failure(result, cell);
    present.push(severalModels ? { ...failed, task: `${result.model} · ${failed.task}` } : failed);
    failures.set(cell, present);
  }
  return {
    texts: [...texts.values()].map(({ tokens }) => tokens),
    retentions: shown.sort((a, b) => a.sample.localeCompare(b.sample)),
    failures: evenly([...failures.values()], failureLimit),
    failed: [...failures.values()].reduce((sum, { length }) => sum + length, 0),
  };
}

/** `snapkv 20%`, `full cache` */
export function cellName(label: string, budget: string): string {
  return label === 'full' ? 'full cache' : `${label} ${budget}`;
}

/** The first of each group, then the second of each, and so on. */
function evenly<T>(groups: readonly (readonly T[])[], most: number): T[] {
  const longest = Math.max(0, ...groups.map(({ length }) => length));
  const taken: T[] = [];
  for (let index = 0; index < longest && taken.length < most; index++) {
    taken.push(...groups.flatMap((group) => group.slice(index, index + 1)));
  }
  return taken.slice(0, most);
}

function failure({ suite, task, sample, prompt, prediction, expected, score, error }: Result, cell: string): ExplorerFailure {
  const hidden = prompt.characters - [...prompt.start, ...prompt.end].length;
  return {
    cell,
    task: suite === task ? task : `${suite} ${task}`,
    sample,
    prompt: hidden > 0 ? `${prompt.start}\n… ${hidden} characters …\n${prompt.end}` : prompt.start + prompt.end,
    prediction,
    expected: typeof expected === 'string' ? expected : JSON.stringify(expected, null, 1),
    note: error === undefined ? `score ${(score ?? 0).toFixed(2)}` : `${error.code}: ${error.message}`,
  };
}
