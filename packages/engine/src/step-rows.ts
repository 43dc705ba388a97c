import type { Projection } from '@kvsift/models';
import type { Backend, Tensor } from '@kvsift/tensor';
import type { ObservedKind } from './sequence.js';

/** Rows of one step and layer that decode rules may observe, one per sequence. */
export type StepRows = Readonly<Record<ObservedKind, Tensor>>;

/** Those of what a layer makes of its token rows, under the same handles. */
export function stepRows({ q, qBeforeRotation, normed }: Projection): StepRows {
  return { queries: q, queriesBeforeRotation: qBeforeRotation, hidden: normed };
}

/** The same rows under handles of their own. */
export function handlesOf(backend: Backend, { queries, queriesBeforeRotation, hidden }: StepRows): StepRows {
  const handle = (tensor: Tensor) => backend.reshape(tensor, tensor.shape);
  return { queries: handle(queries), queriesBeforeRotation: handle(queriesBeforeRotation), hidden: handle(hidden) };
}
