import { monitorEventLoopDelay } from 'node:perf_hooks';
import { afterAll, describe, expect, it } from 'vitest';
import { createCpuBackend } from './index.js';

describe('the JavaScript thread', () => {
  // One thread, so that a second core stays for JavaScript on the smallest machine that runs this.
  const backend = createCpuBackend({ threads: 1 });
  afterAll(() => backend.dispose());

  /** 99th percentile of the delay in milliseconds while `work` runs again and again. */
  async function delay(work: () => Promise<unknown>): Promise<number> {
    const delays = monitorEventLoopDelay({ resolution: 1 });
    delays.enable();
    const start = performance.now();
    while (performance.now() - start < 2000) await work();
    delays.disable();
    return delays.percentile(99) / 1e6;
  }

  it('stays responsive during seconds of queued work', async () => {
    const size = 1024;
    using x = backend.uniform({ seed: 1, sequence: 0, layer: 0, purpose: 0 }, size, size);
    // What other processes do to this one is in both numbers.
    const idle = await delay(() => new Promise((resolve) => setTimeout(resolve, 20)));
    const busy = await delay(async () => {
      for (let step = 0; step < 8; step++) backend.matmul(x, x).dispose();
      using product = backend.matmul(x, x);
      await product.read();
    });
    expect(busy).toBeLessThan(10 + idle);
  });
});
