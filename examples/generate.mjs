// Finds a fact in a long text with a tenth of its cache.
import { createCpuBackend } from '@kvsift/backend-cpu';
import { demoModelPath, factDocument } from '@kvsift/demo-model';
import { load } from '@kvsift/engine';
import { snapkv } from '@kvsift/policy-snapkv';

const backend = createCpuBackend();
const model = await load(demoModelPath(), { backend });
const { context, question, answer } = factDocument({ tokens: 1024, facts: 16, digits: 5, seed: 7 });
let text = '';
let bytes = 0;
const options = { policy: snapkv({ window: 16 }), budget: '10%', maxTokens: 8, stop: ['.'] };
for await (const chunk of model.generate(context + question, options)) {
  text += chunk.text;
  bytes ||= chunk.cache.bytes;
}
console.log(`${question.trim()}${text} (expected ${answer}; the cache holds ${bytes} bytes)`);
model.dispose();
await backend.dispose();
