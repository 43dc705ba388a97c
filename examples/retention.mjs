// Shows which tokens of a text each layer kept.
import { createCpuBackend } from '@kvsift/backend-cpu';
import { demoModelPath, factDocument } from '@kvsift/demo-model';
import { load } from '@kvsift/engine';
import { adakv } from '@kvsift/policy-adakv';
import { snapkv } from '@kvsift/policy-snapkv';

const backend = createCpuBackend();
const model = await load(demoModelPath(), { backend });
const { context, question } = factDocument({ tokens: 256, facts: 4, digits: 5, seed: 3 });
const ids = model.encode(context + question);
const session = model.session({ policy: adakv({ policy: snapkv({ window: 16 }) }), budget: '15%', trackPositions: true });
await session.prefill(ids);
for (let layer = 0; layer < model.decoder.config.layers.length; layer++) {
  const heads = await session.retained(layer);
  const kept = [...new Set(heads.flatMap((positions) => [...positions]))].sort((a, b) => a - b);
  const text = model.tokenizer.decode(kept.flatMap((position) => ids[position] ?? []));
  console.log(`layer ${layer}: ${heads.map(({ length }) => length).join(' + ')} of ${ids.length} entries per head: ${text}`);
}
session.dispose();
model.dispose();
await backend.dispose();
