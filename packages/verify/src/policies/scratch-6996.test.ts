import { createReferenceBackend } from '@kvsift/backend-reference';
import { createCpuBackend } from '@kvsift/backend-cpu';
import { test } from 'vitest';
import { Tally } from '../tally.js';
import { policies } from './policies.js';
test('scratch', async () => {
  const t0 = Date.now();
  const tally = new Tally((l) => console.log('FAIL', l.slice(0, 260)), (l) => console.log('skip', l));
  const backend = process.env.BK === 'cpu' ? await createCpuBackend({ threads: 2, compute: 'f32' } as never) : createReferenceBackend();
  console.log(backend.info);
  await policies({ folder: process.env.GOLD ?? '../shared/golden/policies', tally, model: async () => '/work/shared/models/smollm2-135m-instruct-q4_1.gguf', backend: async () => backend } as never);
  console.log(tally.counts, Date.now() - t0, 'ms');
}, 6000000);
