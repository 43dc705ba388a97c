import { performance } from 'node:perf_hooks';
import type { EvictionPolicy } from '@kvsift/policy';
import { type Backend, scoped } from '@kvsift/tensor';
import { contextOf } from './evict.js';
import { layerView } from './layer-inputs.js';
import { type RandomShape, randomInputs } from './random-inputs.js';

/** What one `select` takes. */
export interface SelectCost {
  readonly milliseconds: number;
  /** Memory at the peak beyond what the layer and the observed rows hold. */
  readonly extraBytes: number;
}

/** Time and extra memory of choosing half of `length` entries of a random layer. */
export async function costOf(
  backend: Backend,
  policy: EvictionPolicy,
  length: number,
  shape: RandomShape = {},
): Promise<SelectCost> {
  const inputs = randomInputs(3, { ...shape, length });
  using scope = scoped(backend);
  using run = policy.begin(contextOf(inputs, { budget: { kind: 'tokens', tokens: length / 2 }, layers: 4 }));
  const budget = run.budgets[0];
  if (budget === undefined || budget.total >= length * inputs.kvHeads) return { milliseconds: 0, extraBytes: 0 };
  const view = layerView(scope.backend, inputs, { budget, observe: run.observe, layers: 4 });
  await backend.finish();
  backend.resetPeak();
  const before = backend.memory().bytes;
  const start = performance.now();
  await run.select({ ...view, keep: scope.keep });
  await backend.finish();
  return { milliseconds: performance.now() - start, extraBytes: backend.memory().peakBytes - before };
}
