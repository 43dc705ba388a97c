import { createReferenceBackend } from '@kvsift/backend-reference';
import { conformance } from '@kvsift/policy-testkit';
import { describe, it } from 'vitest';
import { finch } from './finch.js';

describe('finch', () => {
  const subject = { definition: finch.definition, make: () => finch({ question: 8 }) };
  for (const { name, run } of conformance(subject, createReferenceBackend)) it(name, run);
});
