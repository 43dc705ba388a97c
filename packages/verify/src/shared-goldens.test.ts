import { existsSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { verify } from './verify.js';

const goldens = '../shared/golden';

/** Cases that need no backend; those that do run with the backends. */
describe.skipIf(!existsSync(goldens))('goldens of ../shared', () => {
  it.each([
    ['bad-files', 34],
    ['forward', 400],
  ])('%s', async (suite, atLeast) => {
    const failures: string[] = [];
    const counts = await verify(suite, `${goldens}/${suite}`, { onFailure: (line) => failures.push(line) });
    expect(failures).toEqual([]);
    expect(counts.passed).toBeGreaterThanOrEqual(atLeast);
  });
});
