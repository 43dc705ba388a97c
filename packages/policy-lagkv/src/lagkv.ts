import { definePolicy, entryRow, filled, keepBest, type LayerView, releasing, resolveBudgets } from '@kvsift/policy';
import type { Backend, Tensor } from '@kvsift/tensor';

/** LagKV (specification 14). */
export const lagkv = definePolicy({
  name: 'lagkv',
  title: 'LagKV',
  idea: 'Normalise keys and values of a partition by the range of the next one. Tokens whose channels then vary most are kept; attention is not needed.',
  paper: {
    title: 'LagKV: Lag-Relative Information of the KV Cache Tells Which Tokens Are Important',
    authors: 'Liang, Zhang, Li, Li',
    venue: 'arXiv 2025',
    url: 'https://arxiv.org/abs/2504.04704',
  },
  parameters: {
    sinks: { kind: 'integer', default: 4, min: 0, unit: 'tokens', description: 'First tokens; they outrank the partitions.' },
    lag: {
      kind: 'integer',
      default: 128,
      min: 1,
      unit: 'tokens',
      description: 'Partition size. The last full partition and the rest are kept first.',
    },
    scoring: {
      kind: 'choice',
      choices: ['rank', 'cross'] as const,
      default: 'rank',
      description:
        'rank: place inside the partition, so that all partitions keep alike; cross: raw scores compete over the whole prompt.',
    },
  },
  observes: 'keys and values',
  costs: '10 · kvHeads · n · headDim FLOPs, O(kvHeads · n · headDim) memory',
  phases: ['prefill', 'decode'],
  profiles: {
    reference: { description: 'LagKV repository sizes.', parameters: { sinks: 16, lag: 1024 } },
    kvpress: { description: 'kvpress LagKVPress.', parameters: { sinks: 4, lag: 128 } },
  },
  deviations: [
    'The budget is exact: quotas of partitions differ by at most one. The repository keeps a fixed share of each and the tail on top.',
    'A channel that is constant over the next partition contributes nothing; the references divide by zero.',
  ],
  create: ({ sinks, lag, scoring }) =>
    keepBest('lagkv', {
      protect: { first: 0, last: 0 },
      allocate: resolveBudgets,
      start: () => ({
        observe: {},
        decode: { observe: {} },
        score: (view) => scorePartitions(view, sinks, lag, scoring),
      }),
    }),
});

function scorePartitions(view: LayerView, sinks: number, lag: number, scoring: 'rank' | 'cross'): Tensor {
  const { backend, cache, length, model } = view;
  const partitions = Math.floor((length - sinks) / lag);
  if (length < sinks + 2 * lag) return recency(view, sinks);
  // One after the other, so that only one of them needs its large tensors.
  const [key, value] = (['keys', 'values'] as const).map((part) =>
    releasing(backend, (inner) => spread(inner, inner.kvRead(cache, part), sinks, partitions, lag)),
  ) as [Tensor, Tensor];
  const both = backend.zip(backend.zip(key, value, 'add'), 2, 'div');
  const scores = scoring === 'cross' ? both : backend.zip(backend.rank(both), lag, 'div');
  const scored = (partitions - 1) * lag;
  return backend.concat(
    [
      filled(backend, [model.kvHeads, sinks], 1),
      backend.reshape(scores, [model.kvHeads, scored]),
      filled(backend, [model.kvHeads, length - sinks - scored], 1),
    ],
    1,
  );
}

/** Softmax inside each partition of the deviation over channels, all partitions but the last: f32 [kvHeads, partitions − 1, lag]. */
function spread(backend: Backend, x: Tensor, sinks: number, partitions: number, lag: number): Tensor {
  const [heads = 0, , headDim = 0] = x.shape;
  const body = backend.slice(x, 1, sinks, sinks + partitions * lag);
  const parts = backend.reshape(body, [heads, partitions, lag, headDim]);
  // The last partition has none behind it: it takes the first one's range and is left out at the end, which spares a copy of all others.
  const next = (op: 'min' | 'max') => {
    const ends = backend.reduce(parts, 2, op);
    const shifted = backend.concat([backend.slice(ends, 1, 1, partitions), backend.slice(ends, 1, 0, 1)], 1);
    return backend.reshape(shifted, [heads, partitions, 1, headDim]);
  };
  const low = next('min');
  const range = backend.zip(next('max'), low, 'sub');
  // 1 / range, and 0 where the range is empty.
  const open = backend.zip(backend.zip(range, 0, 'mul'), range, 'less');
  const factor = backend.zip(open, backend.zip(range, 1e-30, 'max'), 'div');
  const scaled = backend.zip(backend.zip(parts, low, 'sub'), factor, 'mul');
  const variance = backend.slice(backend.reduce(scaled, 3, 'variance'), 1, 0, partitions - 1);
  return backend.softmax(backend.map(variance, 'sqrt'));
}

/** Too short to compare partitions: sinks first, then the latest. */
function recency({ backend, length, model }: LayerView, sinks: number): Tensor {
  const row = entryRow(backend, length, (entry) => (entry < sinks ? 1 : (entry - sinks) / (length - sinks)));
  return backend.zip(filled(backend, [model.kvHeads, 1], 0), row, 'add');
}
