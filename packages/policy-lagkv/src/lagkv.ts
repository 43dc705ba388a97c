import { definePolicy, entryRow, filled, keepBest, type LayerView, overEntries, releasing, resolveBudgets } from '@kvsift/policy';
import type { Backend, Formula, Tensor } from '@kvsift/tensor';

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
  costs: '10 · kvHeads · n · headDim FLOPs, O(kvHeads · n) memory',
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
  const scored = (partitions - 1) * lag;
  const scores = overEntries(
    view,
    (inner, start, end) => {
      const of = (part: 'keys' | 'values') =>
        releasing(inner, (own) => {
          const read = (later: number) => own.kvRead(cache, part, sinks + start + later, sinks + end + later);
          return spread(own, read(0), read(lag), lag);
        });
      const both = inner.zip(inner.zip(of('keys'), of('values'), 'add'), 2, 'div');
      const chosen = scoring === 'cross' ? both : inner.zip(inner.rank(both), lag, 'div');
      return inner.reshape(chosen, [model.kvHeads, end - start]);
    },
    { length: scored, unit: lag },
  );
  return backend.concat(
    [filled(backend, [model.kvHeads, sinks], 1), scores, filled(backend, [model.kvHeads, length - sinks - scored], 1)],
    1,
  );
}

/**
 * Softmax inside each partition of the deviation over channels, where each channel has the range of the next partition: f32 [kvHeads, partitions, lag]
 * of both f32 [kvHeads, partitions · lag, headDim].
 */
function spread(backend: Backend, x: Tensor, next: Tensor, lag: number): Tensor {
  const [heads = 0, rows = 0, headDim = 0] = x.shape;
  const parted = (tensor: Tensor) => backend.reshape(tensor, [heads, rows / lag, lag, headDim]);
  const end = (op: 'min' | 'max') => backend.reshape(backend.reduce(parted(next), 2, op), [heads, rows / lag, 1, headDim]);
  const low = end('min');
  const range: Formula = ['sub', end('max'), low];
  // 1 / range, and 0 where the range is empty.
  const factor = backend.evaluate(['div', ['less', ['mul', range, 0], range], ['max', range, 1e-30]]);
  const variance = backend.evaluate(['mul', ['sub', parted(x), low], factor], { axis: 3, op: 'variance' });
  return backend.softmax(backend.map(variance, 'sqrt'));
}

/** Too short to compare partitions: sinks first, then the latest. */
function recency({ backend, length, model }: LayerView, sinks: number): Tensor {
  const row = entryRow(backend, length, (entry) => (entry < sinks ? 1 : (entry - sinks) / (length - sinks)));
  return backend.zip(filled(backend, [model.kvHeads, 1], 0), row, 'add');
}
