import { createReferenceBackend } from '@kvsift/backend-reference';
import { conformance } from '@kvsift/policy-testkit';
import { describe, it } from 'vitest';
import { random } from './random.js';

describe('random', () => {
  const subject = { definition: random.definition, make: () => random({ sinks: 2, window: 4 }) };
  for (const { name, run } of conformance(subject, createReferenceBackend)) it(name, run);
});
