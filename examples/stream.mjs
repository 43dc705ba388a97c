// Streams an answer token by token and stops it after 20 tokens.
import { createCpuBackend } from '@kvsift/backend-cpu';
import { demoModelPath } from '@kvsift/demo-model';
import { load } from '@kvsift/engine';

const backend = createCpuBackend();
const model = await load(demoModelPath(), { backend });
const stop = new AbortController();
let tokens = 0;
try {
  const options = { temperature: 0.8, topP: 0.9, seed: 1, ignoreEos: true, signal: stop.signal };
  for await (const { text, logProb, cache } of model.generate('Nobody crossed the', options)) {
    console.log(`${JSON.stringify(text)} at probability ${Math.exp(logProb).toFixed(2)}, cache ${cache.bytes} bytes`);
    if (++tokens === 20) stop.abort();
  }
} catch (error) {
  if (!stop.signal.aborted) throw error;
}
model.dispose();
await backend.dispose();
