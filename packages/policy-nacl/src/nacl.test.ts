import { createReferenceBackend } from '@kvsift/backend-reference';
import { conformance, evict, randomInputs } from '@kvsift/policy-testkit';
import { describe, expect, it } from 'vitest';
import { nacl } from './nacl.js';

describe('nacl', () => {
  const subject = { definition: nacl.definition, make: () => nacl({ proxies: 0.1 }) };
  for (const { name, run } of conformance(subject, createReferenceBackend)) it(name, run);

  it('leaves short prompts whole where the release does', async () => {
    const backend = createReferenceBackend();
    const inputs = randomInputs(1, { length: 40 });
    for (const options of [{}, { ratios: [0.1, 0.12, 0.07] }]) {
      const kept = async (minLength: number) => {
        const { total } = await evict(backend, nacl({ ...options, recent: 4, minLength }), inputs, {
          budget: { kind: 'tokens', tokens: 12 },
        });
        return total / inputs.kvHeads;
      };
      expect(await kept(40)).toBe(40);
      expect(await kept(39)).toBeLessThan(20);
    }
    expect(nacl({ profile: 'reference' }).parameters).toMatchObject({ minLength: 2048 });
  });
});
