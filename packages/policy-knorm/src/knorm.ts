import {
  definePolicy,
  demandLayers,
  keepBest,
  norms,
  overEntries,
  resolveBudgets,
  type Scoring,
  type SequenceContext,
  uniformLayer,
} from '@kvsift/policy';

/** L2 norm, also called Knorm (specification 10). */
export const knorm = definePolicy({
  name: 'knorm',
  title: 'L2 norm of keys',
  idea: 'Keys with a small norm attract attention. Keep the lowest norms of each head; nothing else is read.',
  paper: {
    title: 'A Simple and Effective L2 Norm-Based Strategy for KV Cache Compression',
    authors: 'Devoto, Zhao, Scardapane, Minervini',
    venue: 'EMNLP 2024',
    url: 'https://arxiv.org/abs/2406.11430',
  },
  parameters: {
    keepRatio: {
      kind: 'number',
      default: 0,
      min: 0,
      max: 1,
      unit: 'share of the prompt',
      description:
        'Keeps ⌈keepRatio · n⌉ entries in place of the budget, as the reference counts, also of what is stored while decoding; 0 follows the budget.',
    },
    pruneAfter: { kind: 'integer', default: 0, min: 0, unit: 'tokens', description: 'Shorter caches stay whole.' },
    skipLayers: {
      kind: 'numbers',
      default: [],
      min: 0,
      unit: 'layers',
      description: 'Layers that stay whole (0 and 1 in the reference).',
    },
  },
  observes: 'keys',
  costs: '2 · kvHeads · n · headDim FLOPs, O(kvHeads · n) memory',
  phases: ['prefill', 'decode'],
  profiles: {
    reference: {
      description: 'l2compress, README example.',
      parameters: { keepRatio: 0.9, pruneAfter: 1048, skipLayers: [0, 1] },
    },
    factory: { description: 'KVCache-Factory: the first two layers stay whole.', parameters: { skipLayers: [0, 1] } },
    kvpress: { description: 'kvpress KnormPress.', parameters: {} },
  },
  deviations: ['No layer is skipped by default: the budget then means the same in every layer.'],
  create: (schedule) =>
    keepBest('knorm', {
      protect: { first: 0, last: 0 },
      allocate(context) {
        const { model, promptLength } = context;
        const remaining = remainingOf(schedule, context);
        return Array.from({ length: model.layers }, (_, layer) => {
          const left = remaining(layer, promptLength, promptLength);
          return left === 'all' ? uniformLayer(promptLength, model) : left;
        });
      },
      remaining: (context) => remainingOf(schedule, context),
      start: () => ({
        observe: {},
        decode: { observe: {}, repeats: true },
        score: (view) =>
          overEntries(view, (backend, start, end) =>
            backend.map(norms(backend, backend.kvRead(view.cache, 'keys', start, end)), 'neg'),
          ),
      }),
    }),
});

interface Schedule {
  readonly keepRatio: number;
  readonly pruneAfter: number;
  readonly skipLayers: readonly number[];
}

/** @throws KvsiftError `policy_invalid` where the model lacks a layer that is to be skipped */
function remainingOf(
  { keepRatio, pruneAfter, skipLayers }: Schedule,
  context: SequenceContext,
): ReturnType<NonNullable<Scoring['remaining']>> {
  const { model } = context;
  demandLayers('knorm', 'skipLayers', skipLayers, model);
  const budgets = resolveBudgets(context);
  return (layer, length) => {
    if (length < pruneAfter || skipLayers.includes(layer)) return 'all';
    return (keepRatio > 0 ? undefined : budgets[layer]) ?? uniformLayer(Math.max(1, Math.ceil(keepRatio * length)), model);
  };
}
