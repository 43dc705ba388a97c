import { keyOf, type Result } from '../store/result.js';

/** Results of one task of a model and suite, as rows of a table. */
export interface TaskRows {
  /** The manifest that its rows are kept apart by. */
  readonly apart?: string;
  /** One for each policy and budget, in the order of first appearance. */
  readonly cells: readonly (readonly Result[])[];
}

/**
 * Results by row. Those of several manifests share rows, as in a run that went on under other circumstances; but where one sample has results under several, each manifest of that
 * model and suite has rows of its own.
 * @param level `suite`: all tasks of a suite together
 */
export function groupRows(results: readonly Result[], level: 'task' | 'suite' = 'task'): TaskRows[] {
  const apart = collisions(results);
  const apartBy = (result: Result) => (apart.has(setOf(result)) ? result.manifest : undefined);
  const tasks = groupBy(results, (result) =>
    JSON.stringify([setOf(result), level === 'task' ? result.task : '', apartBy(result)]),
  );
  return [...tasks.values()].map((task) => {
    const [manifest] = task.map(apartBy);
    const cells = [...groupBy(task, ({ policy, budget }) => JSON.stringify([policy, budget])).values()];
    return { cells, ...(manifest !== undefined && { apart: manifest }) };
  });
}

const setOf = ({ model, suite }: Result) => JSON.stringify([model, suite]);

/** Models and suites of which a sample has results under several manifests. */
function collisions(results: readonly Result[]): Set<string> {
  const manifests = new Map<string, string>();
  const found = new Set<string>();
  for (const result of results) {
    const key = keyOf({ ...result, manifest: '' });
    const before = manifests.get(key);
    if (before === undefined) manifests.set(key, result.manifest);
    else if (before !== result.manifest) found.add(setOf(result));
  }
  return found;
}

function groupBy<T>(values: readonly T[], key: (value: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const value of values) {
    const group = groups.get(key(value));
    if (group === undefined) groups.set(key(value), [value]);
    else group.push(value);
  }
  return groups;
}
