import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { Worker } from 'node:worker_threads';
import { platformName } from '@kvsift/native-addon';
import { describe, expect, it } from 'vitest';
import { addonPlaces } from './locate-addon.js';

const require = createRequire(import.meta.url);

/** Path of the native part, for a thread that has no TypeScript. */
function addonPath(): string {
  for (const place of addonPlaces(platformName())) {
    try {
      const path = require.resolve(place);
      if (existsSync(path)) return path;
    } catch {
      // Not there.
    }
  }
  throw new Error('the native part is not built');
}

const program = `
  const { parentPort, workerData } = require('node:worker_threads');
  const { Backend } = require(workerData);
  const backend = new Backend((code, message) => new Error(message), 1, 'portable', 'f32', 0);
  const shape = Float64Array.of(512, 512);
  let x = backend.upload('f32', shape, new Float32Array(512 * 512));
  for (let step = 0; step < 200; step++) x = backend.matmul(x, x, false, false);
  backend.read(x);
  parentPort.postMessage('queued');
  setInterval(() => {}, 1000);
`;

describe('a worker thread', () => {
  it('can be terminated with work in the queue, and leaves the process alone', async () => {
    const worker = new Worker(program, { eval: true, workerData: addonPath() });
    await new Promise((resolve, reject) => worker.on('message', resolve).on('error', reject));
    expect(await worker.terminate()).toBe(1);
  });
});
