import { createReferenceBackend } from '@kvsift/backend-reference';
import { conformance } from '@kvsift/policy-testkit';
import { describe, it } from 'vitest';
import { tova } from './tova.js';

describe('tova', () => {
  const subject = { definition: tova.definition, make: () => tova() };
  for (const { name, run } of conformance(subject, createReferenceBackend)) it(name, run);
});
