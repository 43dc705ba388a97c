import { monitorEventLoopDelay } from 'node:perf_hooks';
import { afterAll, describe, expect, it } from 'vitest';
import { createCpuBackend } from './index.js';

describe('the JavaScript thread', () => {
  // One thread, so that a second core stays for JavaScript on the smallest machine that runs this.
  const backend = createCpuBackend({ threads: 1 });
  afterAll(() => backend.dispose());

  it('stays responsive during seconds of queued work', async () => {
    const size = 1024;
    const x = backend.uniform({ seed: 1, sequence: 0, layer: 0, purpose: 0 }, size, size);
    const delays = monitorEventLoopDelay({ resolution: 1 });
    await backend.finish();
    delays.enable();
    const start = performance.now();
    let rounds = 0;
    while (performance.now() - start < 2500) {
      for (let step = 0; step < 8; step++) backend.matmul(x, x).dispose();
      using product = backend.matmul(x, x);
      await product.read();
      rounds += 1;
    }
    delays.disable();
    expect(rounds).toBeGreaterThan(0);
    // The clock of `monitorEventLoopDelay` counts its own resolution in. A busy machine delays every process, so the bar is what queueing
    // arithmetic on this thread would miss by far: one of these products takes longer than that.
    expect(delays.percentile(99) / 1e6).toBeLessThan(10);
  });
});
