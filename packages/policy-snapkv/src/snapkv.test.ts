import { createReferenceBackend } from '@kvsift/backend-reference';
import { conformance } from '@kvsift/policy-testkit';
import { describe, it } from 'vitest';
import { snapkv } from './snapkv.js';

describe('snapkv', () => {
  const subject = { definition: snapkv.definition, make: () => snapkv({ window: 8 }) };
  for (const { name, run } of conformance(subject, createReferenceBackend)) it(name, run);
});
