import { createReferenceBackend } from '@kvsift/backend-reference';
import { conformance } from '@kvsift/policy-testkit';
import { describe, it } from 'vitest';
import { scissorhands } from './scissorhands.js';

describe('scissorhands', () => {
  const subject = { definition: scissorhands.definition, make: () => scissorhands({ history: 24 }) };
  for (const { name, run } of conformance(subject, createReferenceBackend)) it(name, run);
});
