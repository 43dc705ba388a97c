import { existsSync } from 'node:fs';
import { createReferenceBackend } from '@kvsift/backend-reference';
import { describe, expect, it } from 'vitest';
import { verify } from '../verify.js';

const folder = '../shared/golden/policies';

// Skipped where the goldens are not beside the repository.
describe.runIf(existsSync(folder))('policies suite', () => {
  it('passes the synthetic families and the stored layer on the reference backend', async () => {
    const failures: string[] = [];
    const counts = await verify('policies', folder, {
      backend: async () => createReferenceBackend(),
      onFailure: (line) => failures.push(line),
    });
    expect(failures).toEqual([]);
    expect(counts.passed).toBeGreaterThan(500);
  }, 600_000);
});
