import type { Backend } from './backend.js';
import type { Tensor } from './tensor.js';

/** A backend whose tensors are released together. */
export interface Scope extends Disposable {
  readonly backend: Backend;
  /** Takes a tensor out of the scope: the caller owns it. */
  keep(tensor: Tensor): Tensor;
}

function isTensor(value: unknown): value is Tensor {
  return typeof value === 'object' && value !== null && 'dtype' in value && 'shape' in value && 'dispose' in value;
}

/** Follows every tensor that calls on `inner` return (also inside selections and results), so that policies need not release anything. */
export function scoped(inner: Backend): Scope {
  const made = new Set<Tensor>();
  const follow = (value: unknown): void => {
    if (isTensor(value)) made.add(value);
    else if (Array.isArray(value)) value.forEach(follow);
    else if (typeof value === 'object' && value !== null && !(value instanceof Promise)) Object.values(value).forEach(follow);
  };
  const methods = new Map<string | symbol, unknown>();
  const backend = new Proxy(inner, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      const known = methods.get(name);
      if (known !== undefined) return known;
      const method = (...args: unknown[]): unknown => {
        const result: unknown = Reflect.apply(value, target, args);
        follow(result);
        return result;
      };
      methods.set(name, method);
      return method;
    },
  });
  return {
    backend,
    keep(tensor) {
      made.delete(tensor);
      return tensor;
    },
    [Symbol.dispose]() {
      for (const tensor of made) tensor.dispose();
      made.clear();
    },
  };
}
