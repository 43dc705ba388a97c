import { createReferenceBackend } from '@kvsift/backend-reference';
import { knorm } from '@kvsift/policy-knorm';
import { conformance } from '@kvsift/policy-testkit';
import { describe, it } from 'vitest';
import { perChunk } from './per-chunk.js';

describe('perChunk', () => {
  const subject = { definition: perChunk.definition, make: () => perChunk({ policy: knorm(), chunk: 16 }) };
  for (const { name, run } of conformance(subject, createReferenceBackend)) it(name, run);
});
