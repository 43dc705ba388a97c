import type { Backend } from '@kvsift/tensor';

/** A backend that likes passes over entries of other sizes; all else is the given one's. */
export function inPasses(backend: Backend, passBytes: number): Backend {
  return new Proxy(backend, {
    get(target, name) {
      if (name === 'info') return { ...target.info, passBytes };
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
