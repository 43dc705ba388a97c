import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createReferenceBackend } from '@kvsift/backend-reference';
import { describe, expect, it } from 'vitest';
import { verify } from './verify.js';

const goldens = resolve('../shared/golden');

describe.skipIf(!existsSync(goldens))('goldens of ../shared', () => {
  it.each([
    ['bad-files', 34],
    ['forward', 400],
  ])('%s, what needs no backend', async (suite, atLeast) => {
    const failures: string[] = [];
    const counts = await verify(suite, join(goldens, suite), { onFailure: (line) => failures.push(line) });
    expect(failures).toEqual([]);
    expect(counts.passed).toBeGreaterThanOrEqual(atLeast);
  });

  // The reference backend is too slow for the real model; native/cpu runs all of it.
  it('forward, block formats and small models on the reference backend', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'kvsift-forward-'));
    try {
      mkdirSync(join(folder, 'forward'));
      for (const part of ['quants', 'tiny', 'gguf']) symlinkSync(join(goldens, 'forward', part), join(folder, 'forward', part));
      const failures: string[] = [];
      const counts = await verify('forward', join(folder, 'forward'), {
        backend: async () => createReferenceBackend(),
        models: [join(goldens, '../models')],
        onFailure: (line) => failures.push(line),
      });
      expect(failures).toEqual([]);
      expect(counts.skipped).toBe(0);
      expect(counts.passed).toBeGreaterThanOrEqual(450);
    } finally {
      rmSync(folder, { recursive: true });
    }
  }, 300_000);
});
