import { KvsiftError } from '@kvsift/tensor';
import type { Result } from '../store/result.js';
import type { Cell } from './cells.js';
import { differences } from './manifest.js';

/**
 * Sees to it that results of one policy are all made with the same code and data from outside. Results that were stored before versions were pass.
 * @throws KvsiftError `run_mismatch` naming policy and versions
 */
export function checkOutside(folder: string, results: readonly Result[], cells: readonly Cell[]): void {
  const present = new Map(cells.map(({ policy, outside = {} }) => [policy, outside]));
  for (const { policy, label, outside } of results) {
    const now = present.get(policy);
    if (now === undefined || outside === undefined) continue;
    const differing = differences(outside, now).join('; ');
    if (differing === '') continue;
    throw new KvsiftError(
      'run_mismatch',
      `${folder} holds results of ${label} made with other code or data from outside (${differing}): use a new folder, or --mix to go on all the same`,
      { folder, policy, differing },
    );
  }
}
