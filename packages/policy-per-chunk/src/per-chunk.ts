import { bestFirst, definePolicy, filled, keepBest, type LayerBudget, shareOf, uniformLayer } from '@kvsift/policy';

/** Selection inside each chunk of the prompt (specification 28f, kvpress ChunkPress). */
export const perChunk = definePolicy({
  name: 'per-chunk',
  title: 'Per-chunk selection',
  idea: 'Cut the prompt into chunks and let every chunk keep the same share of its entries, so that no part of a long prompt is lost altogether.',
  source: 'kvpress ChunkPress',
  parameters: {
    policy: { kind: 'scored', description: 'What scores the entries.' },
    chunk: { kind: 'integer', default: 1024, min: 1, unit: 'tokens', description: 'Length of a chunk.' },
  },
  observes: 'what the wrapped policy observes',
  costs: 'those of the wrapped policy, O(kvHeads · n)',
  phases: ['prefill'],
  profiles: { kvpress: { description: 'kvpress ChunkPress.', parameters: { chunk: 1024 } } },
  deviations: ['Scores are computed over the whole layer, not per chunk: the same for scores that look at one entry at a time.'],
  create: ({ policy, chunk }) => {
    const quotas = (length: number, perHead: number): number[] => {
      const sizes = Array.from({ length: Math.ceil(length / chunk) }, (_, index) => Math.min(chunk, length - index * chunk));
      // Differences of a rounded line: the quotas sum to perHead.
      let before = 0;
      let passed = 0;
      return sizes.map((size) => {
        passed += size;
        const reached = Math.floor((passed * perHead) / length);
        const quota = reached - before;
        before = reached;
        return quota;
      });
    };
    const truncated = (length: number, share: { numerator: number; denominator: number }): number[] =>
      Array.from({ length: Math.ceil(length / chunk) }, (_, index) =>
        shareOf(Math.min(chunk, length - index * chunk), share, 'kvpress'),
      );
    return keepBest('per-chunk', {
      ...policy.scoring,
      allocate(context): readonly LayerBudget[] {
        const { counting, budget, promptLength, model } = context;
        if (counting !== 'kvpress' || budget.kind !== 'share') return policy.scoring.allocate(context);
        const total = truncated(promptLength, budget).reduce((sum, quota) => sum + quota, 0);
        return policy.scoring.allocate(context).map(() => uniformLayer(total, model));
      },
      start: (context) => {
        const inner = policy.scoring.start(context);
        const { decode: _decode, ...prefill } = inner;
        return {
          ...prefill,
          async score(view) {
            const { backend, length, model, budget } = view;
            const scores = await inner.score(view);
            const shares =
              context.counting === 'kvpress' && context.budget.kind === 'share'
                ? truncated(length, context.budget)
                : quotas(length, budget.perHead);
            const parts = shares.map((quota, index) => {
              const own = backend.slice(scores, 1, index * chunk, Math.min(length, (index + 1) * chunk));
              // Entries inside the quota first, all of them before any other.
              return backend.zip(
                backend.zip(bestFirst(backend, own), quota, 'less'),
                filled(backend, [model.kvHeads, 1], 1),
                'mul',
              );
            });
            return backend.concat(parts, 1);
          },
        };
      },
    });
  },
});
