import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createCpuBackend } from '@kvsift/backend-cpu';
import { snapkv } from '@kvsift/policy-snapkv';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { load } from './load.js';
import { smallModel, writeRandomModel } from './testing/random-model.js';

const smollm2 = fileURLToPath(new URL('../../../../shared/models/smollm2-135m-instruct-q4_1.gguf', import.meta.url));
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kvsift-slow-'));
});

afterAll(() => rm(folder, { recursive: true }));

/** Resident memory of this process in bytes. */
function resident(): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? 0) * 1024;
}

describe.skipIf(process.platform !== 'linux')('memory of a process', () => {
  it('does not grow over 200 rounds of load, generate, dispose', async () => {
    const path = await writeRandomModel(join(folder, 'model'), {
      ...smallModel,
      hidden: 128,
      intermediate: 512,
      layers: 4,
      vocabulary: 4096,
      contextLength: 1024,
    });
    const ids = Array.from({ length: 600 }, (_, index) => (index * 31) % 4000);
    const sizes: number[] = [];
    for (let round = 0; round < 200; round++) {
      await using backend = createCpuBackend();
      using model = await load(path, { backend });
      for await (const chunk of model.generate(ids, {
        policy: snapkv({ window: 16 }),
        budget: '20%',
        maxTokens: 8,
        ignoreEos: true,
      })) {
        expect(chunk.id).toBeGreaterThanOrEqual(0);
      }
      globalThis.gc?.();
      sizes.push(resident());
    }
    const early = Math.max(...sizes.slice(0, 10));
    const late = Math.min(...sizes.slice(-20));
    // The JavaScript heap breathes by some MiB; one leaked cache or set of weights per round would be hundreds.
    expect(late - early).toBeLessThan(24 * 2 ** 20);
  });
});

describe.skipIf(!existsSync(smollm2))('a long prefill (skipped without ../shared)', () => {
  const ids = Array.from({ length: 6000 }, (_, index) => 100 + ((index * 7919) % 40000));

  it('leaves the event loop alone', async () => {
    await using backend = createCpuBackend();
    using model = await load(smollm2, { backend });
    using session = model.session({ policy: snapkv(), budget: '20%' });
    const before = performance.eventLoopUtilization();
    await session.prefill(ids);
    // Time in callbacks; a blocked loop would have 1. Unlike timers, this holds on a machine that other work keeps busy.
    expect(performance.eventLoopUtilization(before).utilization).toBeLessThan(0.5);
  });

  it('stops soon after an abort and leaves nothing behind', async () => {
    await using backend = createCpuBackend();
    using model = await load(smollm2, { backend });
    using session = model.session();
    const controller = new AbortController();
    let aborted = 0;
    let share = 0;
    const started = performance.now();
    const onProgress = (done: number, total: number) => {
      share = done / total;
      if (share < 0.3 || controller.signal.aborted) return;
      aborted = performance.now();
      controller.abort();
    };
    await expect(session.prefill(ids, { signal: controller.signal, onProgress })).rejects.toMatchObject({ code: 'aborted' });
    await backend.finish();
    // What was left, 70 % of the work, would have taken more than twice as long as what was done.
    expect((performance.now() - aborted) / (aborted - started)).toBeLessThan(0.2);
    expect(session.statistics().bytes).toBe(0);
  });
});
