import { definePolicy, keepBest, resolveBudgets, streamOf } from '@kvsift/policy';

/** Purpose word of this policy's stream of random numbers. */
const purpose = 2;

/** Random (specification 2): scores drawn once per entry, so that smaller budgets keep subsets of larger ones. */
export const random = definePolicy({
  name: 'random',
  title: 'Random',
  idea: 'A uniformly random subset, drawn for every layer and head by itself. The baseline any scorer has to beat.',
  source: 'kvpress RandomPress',
  parameters: {
    sinks: { kind: 'integer', default: 0, min: 0, unit: 'tokens', description: 'First tokens that are always kept.' },
    window: { kind: 'integer', default: 0, min: 0, unit: 'tokens', description: 'Last tokens that are always kept.' },
    layers: {
      kind: 'choice',
      choices: ['own', 'shared'] as const,
      default: 'own',
      description: 'shared: every layer draws the same numbers, as kvpress does with a seed.',
    },
  },
  seeded: true,
  observes: 'nothing',
  costs: 'O(kvHeads · n)',
  phases: ['prefill', 'decode'],
  profiles: { kvpress: { description: 'kvpress RandomPress with a seed.', parameters: { layers: 'shared' } } },
  deviations: ['Layers draw independently; kvpress with a seed repeats one pattern in every layer.'],
  create: ({ sinks, window, layers }) =>
    keepBest('random', {
      protect: { first: sinks, last: window },
      allocate: resolveBudgets,
      start: () => ({
        observe: {},
        decode: { observe: {} },
        score(view) {
          const own = streamOf(view, purpose);
          return view.backend.uniform(layers === 'own' ? own : { ...own, layer: 0 }, view.model.kvHeads, view.length);
        },
      }),
    }),
});
