import { createReferenceBackend } from '@kvsift/backend-reference';
import { conformance } from '@kvsift/policy-testkit';
import { describe, it } from 'vitest';
import { lagkv } from './lagkv.js';

describe('lagkv', () => {
  const subject = { definition: lagkv.definition, make: () => lagkv({ lag: 8 }) };
  for (const { name, run } of conformance(subject, createReferenceBackend)) it(name, run);
});
