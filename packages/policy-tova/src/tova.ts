import { definePolicy, filled, keepBest, resolveBudgets, windowAttention } from '@kvsift/policy';

/** TOVA (specification 12). */
export const tova = definePolicy({
  name: 'tova',
  title: 'TOVA',
  idea: 'Drop the tokens to which the current query pays least attention, averaged over all heads. One set for the whole layer.',
  paper: {
    title: 'Transformers are Multi-State RNNs',
    authors: 'Oren, Hassid, Yarden, Adi, Schwartz',
    venue: 'EMNLP 2024',
    url: 'https://arxiv.org/abs/2401.06104',
  },
  parameters: {
    protectNewest: {
      kind: 'flag',
      default: false,
      description: 'Always keep the newest token (kvpress); the original may drop it.',
    },
  },
  observes: 'the rotated query of the last row',
  costs: '2 · queryHeads · n · headDim FLOPs',
  phases: ['prefill', 'decode'],
  profiles: {
    reference: { description: 'TOVACache.', parameters: { protectNewest: false } },
    kvpress: { description: 'kvpress TOVAPress.', parameters: { protectNewest: true } },
  },
  create: ({ protectNewest }) =>
    keepBest('tova', {
      protect: { first: 0, last: protectNewest ? 1 : 0 },
      allocate: resolveBudgets,
      start: () => {
        const observe = { queries: { last: 1 } } as const;
        return {
          observe,
          decode: { observe, repeats: true },
          score(view) {
            const { backend, model, length } = view;
            const mean = backend.reduce(windowAttention(view, 1), 0, 'mean');
            return backend.zip(filled(backend, [model.kvHeads, 1], 0), backend.reshape(mean, [1, length]), 'add');
          },
        };
      },
    }),
});
