import { createReferenceBackend } from '@kvsift/backend-reference';
import { conformance } from '@kvsift/policy-testkit';
import { describe, it } from 'vitest';
import { full } from './full.js';

describe('full', () => {
  const subject = { definition: full.definition, make: () => full() };
  for (const { name, run } of conformance(subject, createReferenceBackend)) it(name, run);
});
