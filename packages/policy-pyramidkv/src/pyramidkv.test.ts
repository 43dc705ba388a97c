import { createReferenceBackend } from '@kvsift/backend-reference';
import { snapkv } from '@kvsift/policy-snapkv';
import { conformance } from '@kvsift/policy-testkit';
import { describe, it } from 'vitest';
import { pyramidkv } from './pyramidkv.js';

describe('pyramidkv', () => {
  const subject = { definition: pyramidkv.definition, make: () => pyramidkv({ policy: snapkv({ window: 8 }) }) };
  for (const { name, run } of conformance(subject, createReferenceBackend)) it(name, run);
});
