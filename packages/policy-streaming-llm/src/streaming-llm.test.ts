import { createReferenceBackend } from '@kvsift/backend-reference';
import { conformance } from '@kvsift/policy-testkit';
import { describe, it } from 'vitest';
import { streamingLlm } from './streaming-llm.js';

describe('streamingLlm', () => {
  const subject = { definition: streamingLlm.definition, make: () => streamingLlm() };
  for (const { name, run } of conformance(subject, createReferenceBackend)) it(name, run);
});
