import type { Manifest, Result } from '@kvsift/eval';
import type { ReportData } from './combine.js';

/** What a reader must know beside a table: why samples failed, what was left out, and under which circumstances the numbers were made. */
export function runNotes({ results, manifests }: Pick<ReportData, 'results' | 'manifests'>): string[] {
  const used = new Map(results.map((result) => [result.manifest, result]));
  const made = [...used].map(([hash, { model, suite }]) => ({ hash, model, suite, manifest: manifests.get(hash) }));
  return [
    ...failureNotes(results),
    ...made.flatMap(({ model, suite, manifest }) => leftOutNote(model, suite, manifest)),
    ...(made.some(({ manifest }) => manifest?.prefill === 'shared')
      ? ['Prefill: policies shared one reading of each prompt, whose time stands beside each of them.']
      : []),
    ...made.map(({ hash, model, suite, manifest }) => `Manifest ${hash}: ${circumstances(model, suite, manifest)}.`),
  ];
}

function failureNotes(results: readonly Result[]): string[] {
  const byCode = new Map<string, { count: number; readonly first: Result; readonly message: string }>();
  for (const result of results) {
    if (result.error === undefined) continue;
    const { code, message } = result.error;
    const present = byCode.get(code) ?? { count: 0, first: result, message };
    present.count += 1;
    byCode.set(code, present);
  }
  return [...byCode].map(([code, { count, first, message }]) => {
    const { suite, task, sample, label, budget } = first;
    const where = `${suite === task ? task : `${suite} ${task}`}, sample ${sample}, ${label} ${budget}`;
    const what = count === 1 ? `1 result is an error, ${code}` : `${count} results are errors, ${code}, the first`;
    return `${what} (${where}): ${message}`;
  });
}

function leftOutNote(model: string, suite: string, manifest: Manifest | undefined): string[] {
  const [first, ...others] = manifest?.leftOut ?? [];
  if (first === undefined) return [];
  return [
    `Left out of ${suite} for ${model}: ${1 + others.length} data rows or tasks, the first (${first.task}): ${first.message}`,
  ];
}

function circumstances(model: string, suite: string, manifest: Manifest | undefined): string {
  if (manifest === undefined) return `${model} on ${suite}; the manifest is missing`;
  const { kvsift, commit, question, seed } = manifest;
  const { backend } = manifest.model;
  const by = typeof backend === 'string' ? `${backend} backend, ` : '';
  return `${model} on ${suite}, ${by}question ${question}, seed ${seed}, kvsift ${kvsift}${commit === null ? '' : `, commit ${commit}`}`;
}
