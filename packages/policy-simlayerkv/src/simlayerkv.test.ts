import { createReferenceBackend } from '@kvsift/backend-reference';
import { conformance } from '@kvsift/policy-testkit';
import { describe, it } from 'vitest';
import { simlayerkv } from './simlayerkv.js';

describe('simlayerkv', () => {
  const subject = { definition: simlayerkv.definition, make: () => simlayerkv({ threshold: 0.1, recent: 16 }) };
  for (const { name, run } of conformance(subject, createReferenceBackend)) it(name, run);
});
