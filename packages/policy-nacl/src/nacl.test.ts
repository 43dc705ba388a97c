import { createReferenceBackend } from '@kvsift/backend-reference';
import { conformance } from '@kvsift/policy-testkit';
import { describe, it } from 'vitest';
import { nacl } from './nacl.js';

describe('nacl', () => {
  const subject = { definition: nacl.definition, make: () => nacl({ proxies: 0.1 }) };
  for (const { name, run } of conformance(subject, createReferenceBackend)) it(name, run);
});
