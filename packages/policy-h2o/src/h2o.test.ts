import { createReferenceBackend } from '@kvsift/backend-reference';
import { conformance } from '@kvsift/policy-testkit';
import { describe, it } from 'vitest';
import { h2o, observedAttention } from './h2o.js';

describe('h2o', () => {
  const subject = { definition: h2o.definition, make: () => h2o({ window: 8 }) };
  for (const { name, run } of conformance(subject, createReferenceBackend)) it(name, run);
});

describe('observedAttention', () => {
  const subject = { definition: observedAttention.definition, make: () => observedAttention() };
  for (const { name, run } of conformance(subject, createReferenceBackend)) it(name, run);
});
