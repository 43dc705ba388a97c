import { createReferenceBackend } from '@kvsift/backend-reference';
import { conformance, contextOf, randomInputs } from '@kvsift/policy-testkit';
import { describe, expect, it } from 'vitest';
import { knorm } from './knorm.js';

describe('knorm', () => {
  const subject = { definition: knorm.definition, make: () => knorm() };
  for (const { name, run } of conformance(subject, createReferenceBackend)) it(name, run);

  it('refuses to skip a layer that the model does not have', () => {
    const context = contextOf(randomInputs(1), { budget: { kind: 'tokens', tokens: 16 }, layers: 4 });
    expect(
      knorm({ skipLayers: [0, 3] })
        .begin(context)
        .budgets.map(({ perHead }) => perHead),
    ).toEqual([64, 16, 16, 64]);
    expect(() => knorm({ skipLayers: [4] }).begin(context)).toThrow(/skipLayers must name layers of the model, 0 to 3, not 4/);
  });
});
