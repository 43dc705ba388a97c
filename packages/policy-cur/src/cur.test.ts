import { createReferenceBackend } from '@kvsift/backend-reference';
import { conformance } from '@kvsift/policy-testkit';
import { describe, it } from 'vitest';
import { cur } from './cur.js';

describe('cur', () => {
  const subject = { definition: cur.definition, make: () => cur() };
  for (const { name, run } of conformance(subject, createReferenceBackend)) it(name, run);
});
