import { createReferenceBackend } from '@kvsift/backend-reference';
import { streamingLlm } from '@kvsift/policy-streaming-llm';
import { conformance } from '@kvsift/policy-testkit';
import { describe, it } from 'vitest';
import { ratchet } from './ratchet.js';

describe('ratchet', () => {
  const subject = { definition: ratchet.definition, make: () => ratchet({ policy: streamingLlm() }) };
  for (const { name, run } of conformance(subject, createReferenceBackend)) it(name, run);
});
