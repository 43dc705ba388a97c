import { createReferenceBackend } from '@kvsift/backend-reference';
import { knorm } from '@kvsift/policy-knorm';
import { conformance } from '@kvsift/policy-testkit';
import { describe, expect, it } from 'vitest';
import { perLayer } from './per-layer.js';

describe('perLayer', () => {
  const subject = { definition: perLayer.definition, make: () => perLayer({ policy: knorm(), weights: [4, 3, 2, 1] }) };
  for (const { name, run } of conformance(subject, createReferenceBackend)) it(name, run);

  it('refuses weights that share nothing', () => {
    expect(() => perLayer({ policy: knorm(), weights: [0, 0] })).toThrow(/weights must have a number above 0/);
  });
});
