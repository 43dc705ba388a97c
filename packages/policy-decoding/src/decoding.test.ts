import { createReferenceBackend } from '@kvsift/backend-reference';
import { knorm } from '@kvsift/policy-knorm';
import { conformance } from '@kvsift/policy-testkit';
import { describe, it } from 'vitest';
import { decoding } from './decoding.js';

describe('decoding', () => {
  const subject = { definition: decoding.definition, make: () => decoding({ policy: knorm() }) };
  for (const { name, run } of conformance(subject, createReferenceBackend)) it(name, run);
});
