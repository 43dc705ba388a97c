import { createReferenceBackend } from '@kvsift/backend-reference';
import { snapkv } from '@kvsift/policy-snapkv';
import { conformance } from '@kvsift/policy-testkit';
import { describe, it } from 'vitest';
import { chunkkv } from './chunkkv.js';

describe('chunkkv', () => {
  const subject = { definition: chunkkv.definition, make: () => chunkkv({ policy: snapkv({ window: 8 }), chunk: 5 }) };
  for (const { name, run } of conformance(subject, createReferenceBackend)) it(name, run);
});
