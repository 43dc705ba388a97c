import { createReferenceBackend } from '@kvsift/backend-reference';
import { conformance } from '@kvsift/policy-testkit';
import { describe, it } from 'vitest';
import { knorm } from './knorm.js';

describe('knorm', () => {
  const subject = { definition: knorm.definition, make: () => knorm() };
  for (const { name, run } of conformance(subject, createReferenceBackend)) it(name, run);
});
