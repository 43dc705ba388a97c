import { type Backend, scoped, type Tensor } from '@kvsift/tensor';

/** Runs one step of a loop and releases every tensor that it made but the result, so that a loop holds one step's memory at a time. */
export function releasing(backend: Backend, step: (backend: Backend) => Tensor): Tensor {
  using scope = scoped(backend);
  const result = step(scope.backend);
  return scope.keep(result);
}
