import { KvsiftError } from '@kvsift/tensor';
import type { ScoredSample } from './suite.js';

/**
 * `wanted` if it is one of `known`, the first of `known` if it is missing.
 * @throws KvsiftError `config_invalid` naming what there is
 */
export function chooseProfile<P extends string>(suite: string, known: readonly P[], wanted: string | undefined): P {
  const profile = wanted === undefined ? known[0] : known.find((name) => name === wanted);
  if (profile === undefined)
    throw new KvsiftError('config_invalid', `expected a profile of ${suite} (${known.join(', ')}), got "${wanted}"`);
  return profile;
}

/**
 * `wanted`, checked, or all tasks.
 * @throws KvsiftError `config_invalid` naming what there is
 */
export function chooseTasks<T extends string>(
  suite: string,
  known: readonly T[],
  wanted: readonly string[] | undefined,
): readonly T[] {
  return (wanted ?? known).map((name) => {
    const task = known.find((candidate) => candidate === name);
    if (task === undefined)
      throw new KvsiftError('config_invalid', `expected a task of ${suite} (${known.join(', ')}), got "${name}"`);
    return task;
  });
}

/** Results by task, in the order of first appearance. */
export function groupByTask(results: readonly ScoredSample[]): Map<string, ScoredSample[]> {
  const groups = new Map<string, ScoredSample[]>();
  for (const result of results) {
    const group = groups.get(result.task);
    if (group === undefined) groups.set(result.task, [result]);
    else group.push(result);
  }
  return groups;
}
