import { createReferenceBackend } from '@kvsift/backend-reference';
import { conformance } from '@kvsift/policy-testkit';
import { describe, it } from 'vitest';
import { compactor, leverage, noncausal } from './compactor.js';

describe.each([
  ['leverage', leverage.definition, () => leverage({ sketch: 6 })],
  ['noncausal', noncausal.definition, () => noncausal({ chunk: 16 })],
  ['compactor', compactor.definition, () => compactor({ sketch: 6, chunk: 16 })],
] as const)('%s', (_, definition, make) => {
  for (const { name, run } of conformance({ definition, make }, createReferenceBackend)) it(name, run);
});
