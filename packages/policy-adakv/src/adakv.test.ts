import { createReferenceBackend } from '@kvsift/backend-reference';
import { snapkv } from '@kvsift/policy-snapkv';
import { conformance } from '@kvsift/policy-testkit';
import { describe, it } from 'vitest';
import { adakv } from './adakv.js';

describe('adakv', () => {
  const subject = { definition: adakv.definition, make: () => adakv({ policy: snapkv({ window: 8 }) }) };
  for (const { name, run } of conformance(subject, createReferenceBackend)) it(name, run);
});
