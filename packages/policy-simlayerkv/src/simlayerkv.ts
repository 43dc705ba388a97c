import { definePolicy, type LayerView, uniformLayer, windowAttention } from '@kvsift/policy';
import type { Selection } from '@kvsift/tensor';

/** SimLayerKV (specification 23). */
export const simlayerkv = definePolicy({
  name: 'simlayerkv',
  title: 'SimLayerKV',
  idea: 'A layer whose last queries look almost only at the first and the most recent tokens is lazy: it keeps only these. All other layers stay whole.',
  paper: {
    title: 'SimLayerKV: A Simple Framework for Layer-Level KV Cache Reduction',
    authors: 'Zhang, Du, Du, Pang, Gao, Lin',
    venue: 'arXiv 2024',
    url: 'https://arxiv.org/abs/2410.13846',
  },
  parameters: {
    threshold: {
      kind: 'number',
      default: 0.9,
      min: 0,
      max: 1,
      unit: 'share of attention',
      description: 'A layer is lazy above it; 1 never evicts.',
    },
    sinks: { kind: 'integer', default: 4, min: 0, unit: 'tokens', description: 'First tokens of the test, kept in lazy layers.' },
    recent: {
      kind: 'integer',
      default: 1024,
      min: 1,
      unit: 'tokens',
      description: 'Last tokens of the test, kept in lazy layers.',
    },
    lastQueries: {
      kind: 'integer',
      default: 1,
      min: 1,
      unit: 'tokens',
      description: 'Queries whose attention is tested; their own columns are left out.',
    },
    kept: {
      kind: 'choice',
      choices: ['recent', 'recent-minus-queries'] as const,
      default: 'recent',
      description: 'recent-minus-queries keeps recent − lastQueries tokens, as kvpress does.',
    },
  },
  budget: 'own',
  observes: 'rotated queries of the last rows',
  costs: '2 · queryHeads · lastQueries · n · headDim FLOPs; one number is read back',
  phases: ['prefill'],
  profiles: {
    reference: { description: 'The commented prefill variant.', parameters: { lastQueries: 32, recent: 1024 } },
    kvpress: { description: 'kvpress SimLayerKVPress.', parameters: { threshold: 1, kept: 'recent-minus-queries' } },
  },
  deviations: ['The decision falls at prefill; the original waits for the first decode step.'],
  create: ({ threshold, sinks, recent, lastQueries, kept }) => ({
    ragged: false,
    begin({ model, promptLength }) {
      const tail = kept === 'recent' ? recent : recent - lastQueries;
      const short = promptLength <= sinks + recent + lastQueries;
      const budget = uniformLayer(short ? promptLength : sinks + tail, model);
      return {
        observe: { queries: { last: lastQueries } },
        budgets: Array.from({ length: model.layers }, () => budget),
        async select(view) {
          const lazy = (await laziness(view, sinks, recent, lastQueries)) > threshold;
          return lazy ? sinksAndTail(view, sinks, tail) : 'all';
        },
        dispose: () => {},
        [Symbol.dispose]: () => {},
      };
    },
  }),
});

/** Mean over heads and last queries of the attention on the first `sinks` and the last `recent` entries before these queries. */
export async function laziness(view: LayerView, sinks: number, recent: number, lastQueries: number): Promise<number> {
  const { backend, length } = view;
  const end = length - lastQueries;
  const columns = windowAttention(view, lastQueries);
  const parts = [backend.slice(columns, 1, 0, sinks), backend.slice(columns, 1, Math.max(sinks, end - recent), end)];
  const mass = backend.reduce(backend.reduce(backend.concat(parts, 1), 1, 'sum'), 0, 'mean');
  const [sum = 0] = await mass.read();
  return sum / lastQueries;
}

function sinksAndTail({ backend, length, model }: LayerView, sinks: number, tail: number): Selection {
  const perHead = sinks + tail;
  const indices = Int32Array.from({ length: model.kvHeads * perHead }, (_, at) => {
    const slot = at % perHead;
    return slot < sinks ? slot : length - perHead + slot;
  });
  return backend.selection(
    indices,
    Int32Array.from({ length: model.kvHeads + 1 }, (_, head) => head * perHead),
  );
}
