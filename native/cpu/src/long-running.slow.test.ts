import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { createCpuBackend } from './index.js';

const MiB = 2 ** 20;

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** A round of what an application does: upload, compute, read, record, dispose. */
async function round(): Promise<void> {
  await using backend = createCpuBackend({ threads: 2 });
  const x = backend.upload(new Float32Array(256 * 256).fill(0.01), 'f32', [256, 256]);
  let last = x;
  for (let step = 0; step < 4; step++) last = backend.matmul(last, x);
  await last.read();
  const program = backend.record?.(() => {
    backend.softmax(x).dispose();
  });
  program?.run();
  await backend.finish();
  // Half of the tensors are left to the backend.
  x.dispose();
}

describe('create, use, dispose', () => {
  it('does not grow the process over 200 rounds', async () => {
    const resident: number[] = [];
    for (let index = 0; index < 200; index++) {
      await round();
      if (index % 10 === 9) {
        collectGarbage();
        resident.push(process.memoryUsage.rss() / MiB);
      }
    }
    // The first rounds fill the heaps of Node and of the C library.
    const settled = Math.max(...resident.slice(2, 6));
    expect(Math.max(...resident.slice(-4)) - settled).toBeLessThan(8);
  });

  it('does not grow over a long stream of forgotten tensors', async () => {
    await using backend = createCpuBackend({ threads: 2 });
    const x = backend.upload(new Float32Array(MiB / 4), 'f32', [MiB / 4]);
    let most = 0;
    for (let index = 0; index < 2000; index++) {
      backend.map(x, 'neg');
      if (index % 20 !== 19) continue;
      await backend.finish();
      collectGarbage();
      await new Promise((resolve) => setImmediate(resolve));
      most = Math.max(most, backend.memory().bytes / MiB);
    }
    // Without the finalizer 2000 MiB would be held.
    expect(most).toBeLessThan(1000);
  });
});
