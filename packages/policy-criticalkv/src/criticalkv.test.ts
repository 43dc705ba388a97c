import { createReferenceBackend } from '@kvsift/backend-reference';
import { snapkv } from '@kvsift/policy-snapkv';
import { conformance } from '@kvsift/policy-testkit';
import { describe, it } from 'vitest';
import { criticalkv } from './criticalkv.js';

describe('criticalkv', () => {
  const subject = { definition: criticalkv.definition, make: () => criticalkv({ policy: snapkv({ window: 8 }) }) };
  for (const { name, run } of conformance(subject, createReferenceBackend)) it(name, run);
});
