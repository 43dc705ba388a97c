import { basename } from 'node:path';
import { KvsiftError } from '@kvsift/tensor';
import type { Suite } from '../suite.js';
import type { ModelSetting } from './config.js';

/** Name of a model in results and tables. */
export function modelName({ name, path }: ModelSetting): string {
  return name ?? basename(path);
}

/** Results are told apart by the names of their model and suite. @throws KvsiftError `config_invalid` where two of a run share one */
export function checkNames(models: readonly ModelSetting[], suites: readonly Suite[]): void {
  const paths = new Map<string, string>();
  for (const model of models) {
    const name = modelName(model);
    const before = paths.get(name);
    if (before !== undefined) {
      throw new KvsiftError(
        'config_invalid',
        `models: ${before} and ${model.path} would both be called "${name}" in the results: give each a name of its own, as in { path: ${model.path}, name: ... }`,
        { name },
      );
    }
    paths.set(name, model.path);
  }
  const names = suites.map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) {
    throw new KvsiftError(
      'config_invalid',
      `suites: "${twice}" is there twice, and its results could not be told apart: put all its tasks into one entry, and another profile, limit or set of options into a run with a folder of its own`,
      { suite: twice },
    );
  }
}
