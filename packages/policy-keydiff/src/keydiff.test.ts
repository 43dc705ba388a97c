import { createReferenceBackend } from '@kvsift/backend-reference';
import { conformance } from '@kvsift/policy-testkit';
import { describe, it } from 'vitest';
import { keydiff } from './keydiff.js';

describe('keydiff', () => {
  const subject = { definition: keydiff.definition, make: () => keydiff({ blockSize: 8 }) };
  for (const { name, run } of conformance(subject, createReferenceBackend)) it(name, run);
});
