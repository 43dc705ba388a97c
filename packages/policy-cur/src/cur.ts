import { definePolicy, filled, keepBest, resolveBudgets } from '@kvsift/policy';
import type { Backend, Tensor } from '@kvsift/tensor';

/** CUR (specification 32), as kvpress CURPress scores it. */
export const cur = definePolicy({
  name: 'cur',
  title: 'CUR',
  idea: 'Approximate leverage: an entry matters where both its key and its value are large compared with their neighbours.',
  paper: {
    title: 'CurDKV: value-guided cache compression by CUR decomposition',
    authors: 'see arXiv',
    venue: 'arXiv 2025',
    url: 'https://arxiv.org/abs/2509.15038',
  },
  parameters: {
    sinks: { kind: 'integer', default: 4, min: 0, unit: 'tokens', description: 'First tokens that are always kept.' },
    neighbourhood: {
      kind: 'integer',
      default: 16,
      min: 0,
      unit: 'tokens',
      description: 'Aligned windows in which sizes are shares; 0 compares over the whole prompt.',
    },
    part: {
      kind: 'choice',
      choices: ['product', 'average', 'key', 'value'] as const,
      default: 'product',
      description: 'How the shares of key and value join.',
    },
  },
  observes: 'keys and values',
  costs: '4 · kvHeads · n · headDim FLOPs, O(kvHeads · n · headDim) memory',
  phases: ['prefill', 'decode'],
  profiles: { kvpress: { description: 'kvpress CURPress.', parameters: { sinks: 4, neighbourhood: 16 } } },
  create: ({ sinks, neighbourhood, part }) =>
    keepBest('cur', {
      protect: { first: sinks, last: 0 },
      allocate: resolveBudgets,
      start: () => ({
        observe: {},
        decode: { observe: {} },
        score({ backend, cache }) {
          const key = () => shares(backend, backend.kvRead(cache, 'keys'), neighbourhood);
          const value = () => shares(backend, backend.kvRead(cache, 'values'), neighbourhood);
          const joined =
            part === 'key'
              ? key()
              : part === 'value'
                ? value()
                : part === 'product'
                  ? backend.zip(key(), value(), 'mul')
                  : backend.zip(backend.zip(key(), value(), 'add'), 2, 'div');
          const [heads = 0] = joined.shape;
          return backend.zip(joined, backend.reshape(backend.reduce(joined, 1, 'sum'), [heads, 1]), 'div');
        },
      }),
    }),
});

/** Squared lengths as shares of their window's sum: f32 [kvHeads, n]. */
function shares(backend: Backend, x: Tensor, neighbourhood: number): Tensor {
  const [heads = 0, length = 0] = x.shape;
  const squares = backend.reduce(backend.map(x, 'square'), 2, 'sum');
  const size = neighbourhood === 0 ? length : neighbourhood;
  const windows = Math.ceil(length / size);
  const missing = windows * size - length;
  const padded = missing === 0 ? squares : backend.concat([squares, filled(backend, [heads, missing], 0)], 1);
  const parts = backend.reshape(padded, [heads, windows, size]);
  const sums = backend.reshape(backend.reduce(parts, 2, 'sum'), [heads, windows, 1]);
  const divided = backend.reshape(backend.zip(parts, sums, 'div'), [heads, windows * size]);
  return missing === 0 ? divided : backend.slice(divided, 1, 0, length);
}
