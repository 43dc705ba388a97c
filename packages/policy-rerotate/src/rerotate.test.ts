import { createReferenceBackend } from '@kvsift/backend-reference';
import { knorm } from '@kvsift/policy-knorm';
import { conformance } from '@kvsift/policy-testkit';
import { describe, it } from 'vitest';
import { rerotate } from './rerotate.js';

describe('rerotate', () => {
  const subject = { definition: rerotate.definition, make: () => rerotate({ policy: knorm() }) };
  for (const { name, run } of conformance(subject, createReferenceBackend)) it(name, run);
});
