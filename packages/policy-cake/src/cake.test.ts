import { createReferenceBackend } from '@kvsift/backend-reference';
import { conformance } from '@kvsift/policy-testkit';
import { describe, it } from 'vitest';
import { cake } from './cake.js';

describe('cake', () => {
  const subject = { definition: cake.definition, make: () => cake({ window: 8 }) };
  for (const { name, run } of conformance(subject, createReferenceBackend)) it(name, run);
});
