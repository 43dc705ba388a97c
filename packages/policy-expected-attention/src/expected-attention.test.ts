import { createReferenceBackend } from '@kvsift/backend-reference';
import { conformance } from '@kvsift/policy-testkit';
import { describe, it } from 'vitest';
import { expectedAttention } from './expected-attention.js';

describe('expectedAttention', () => {
  const subject = { definition: expectedAttention.definition, make: () => expectedAttention({ futurePositions: 16 }) };
  for (const { name, run } of conformance(subject, createReferenceBackend)) it(name, run);
});
